import {
  createFirewall,
  createGuard,
  createUfw,
  parsePerimeter,
  watchKernel,
} from "../../host-agent/firewall/index.ts";

/** The host agent's guard alone, as a process that can be killed. Says every drift as one JSON line. */
const { pool, resolvers, adminNetworks } = JSON.parse(process.argv[2] ?? "{}");
const say = (line: unknown) => process.stdout.write(`${JSON.stringify(line)}\n`);
const perimeter = parsePerimeter({ adminNetworks });
if (!perimeter.ok) throw new Error(perimeter.refusals.join());
const { hostRun } = await import("../../host-agent/firewall/index.ts");
const guard = createGuard({
  walls: [createFirewall({ inputs: { pool, resolvers } }), createUfw(perimeter.openings, hostRun())],
  watches: [watchKernel()],
  onDrift: (drift) => say({ drift }),
});
await guard.start();
say({ standing: guard.state().standing });
