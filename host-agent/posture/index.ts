import { createVolumes } from "../storage/index.ts";
import { removeCanary } from "./canary.ts";
import { type Gate, settingGates, versionGates } from "./gates.ts";
import { canaryLayouts } from "./ground.ts";
import { type Verdict, verdictOf } from "./rules.ts";
import { createStage, type PostureOptions } from "./stage.ts";
import { postureTools } from "./tools.ts";
import type { Progress } from "./trial.ts";
import { removeSteering } from "./world.ts";

export { createDoor, openDoor } from "./door.ts";
export type { Gate } from "./gates.ts";
export { tenantSlots } from "./ground.ts";
export { postureReport } from "./report.ts";
export type { Row, Verdict } from "./rules.ts";
export { createStage, type PostureOptions, type Stage } from "./stage.ts";
export type { Progress } from "./trial.ts";

/** What a run that died may have left: containers and networks by their names, volumes, routing rules. Safe at any time but during a run. */
export async function removeLeftovers(options: PostureOptions): Promise<void> {
  const tools = postureTools(options.enter);
  for (const layout of Object.values(canaryLayouts({ ...options, seat: options.seat ?? 0 }))) {
    await removeCanary(layout, { docker: options.docker, volumes: createVolumes(options) });
  }
  await removeSteering(tools);
}

export interface FullVerdict extends Verdict {
  gates: Gate[];
}

/** All attacks from where an attacker would stand. At most 60 s; leaves nothing behind. */
export async function runPosture(options: PostureOptions, onProgress: Progress = () => {}): Promise<FullVerdict> {
  onProgress({ fraction: 0, detail: "Setting up two canaries and a stand-in world" });
  const stage = await createStage(options);
  try {
    const verdict = verdictOf(await stage.run(stage.attacks, onProgress));
    return { ...verdict, gates: await readGates(options, verdict, stage.ground.attacker.network) };
  } finally {
    await stage.remove();
  }
}

async function readGates({ docker, enter }: PostureOptions, { attacks }: Verdict, bridge: string): Promise<Gate[]> {
  const { run } = postureTools(enter);
  const [engine, caddy, info, { Options }, routeLocalnet] = await Promise.all([
    docker.version(),
    run("caddy", ["version"]).catch(() => null),
    docker.info(),
    docker.inspectNetwork("bridge"),
    run("cat", [`/proc/sys/net/ipv4/conf/${bridge}/route_localnet`]),
  ]);
  const versions = versionGates({
    docker: engine.Version,
    runc: engine.Components?.find(({ Name }) => Name === "runc")?.Version ?? null,
    caddy: caddy?.trim() ?? null,
    afAlg: attacks.find(({ id }) => id === "af-alg"),
  });
  return [...versions, ...settingGates({ info, bridgeOptions: Options, routeLocalnet })];
}
