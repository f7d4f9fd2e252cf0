import { isIP } from "node:net";
import {
  type CloudProvider,
  createHetznerWall,
  type Opening,
  parsePerimeter,
  RENDERERS,
  type Wall,
} from "../host-agent/firewall/index.ts";
import type { HostOptions } from "./host-command.ts";
import { Refusal } from "./system.ts";

/** The first wall, from where the operator is: no host holds a token that could change it. */
const PROVIDERS = Object.keys(RENDERERS) as CloudProvider[];

/** For `add`: the wall of the server that is named, or undefined where none is. Refuses before anything is asked. */
export function cloudWallOf(
  values: HostOptions,
  address: string | null,
): ((openings: readonly Opening[]) => Wall) | undefined {
  const { cloud, "cloud-server": server } = values;
  if (cloud === undefined && server === undefined) return undefined;
  if (cloud !== "hetzner") {
    throw new Refusal(
      `--cloud takes hetzner here, the only provider that is driven; for others \`npm run host -- walls --cloud ${cloud ?? "aws"}\` prints the rules.`,
    );
  }
  const id = Number(server);
  if (!Number.isInteger(id) || id < 1) {
    throw new Refusal(`--cloud-server takes the number of the server at Hetzner, not ${JSON.stringify(server ?? "")}.`);
  }
  const token = process.env.HCLOUD_TOKEN;
  if (!token)
    throw new Refusal("the environment has no HCLOUD_TOKEN: a token of the server's project, read and write.");
  const endpoint = process.env.HCLOUD_ENDPOINT;
  return (openings) =>
    createHetznerWall({
      ...{ openings, serverIds: [id], token, name: `chelar-host-${id}` },
      ...(endpoint ? { endpoint } : {}),
      ...(address !== null && isIP(address) ? { addresses: [address] } : {}),
    });
}

/**
 * `npm run host -- walls --cloud PROVIDER --admin-network CIDR`: prints the rules in the provider's own JSON. With a
 * server of Hetzner: looks for drift, and repairs it with --repair. Exit code 1 where the wall does not stand.
 */
export async function wallsCommand(values: HostOptions): Promise<number> {
  const provider = PROVIDERS.find((name) => name === values.cloud);
  if (!provider) throw new Refusal(`--cloud takes one of: ${PROVIDERS.join(", ")}.`);
  const adminNetworks = values["admin-network"] ?? [];
  if (adminNetworks.length === 0) throw new Refusal("--admin-network CIDR is needed: who may reach SSH.");
  const parsed = parsePerimeter({ adminNetworks, sshPort: Number(values.port) });
  if (!parsed.ok) throw new Refusal(parsed.refusals.join("; "));
  if (values["cloud-server"] === undefined) {
    console.log(JSON.stringify(RENDERERS[provider](parsed.openings), null, 2));
    return 0;
  }
  const wall = cloudWallOf(values, null)?.(parsed.openings);
  if (!wall) throw new Refusal("no server is named.");
  const said = (error: Error): never => {
    throw new Refusal(error.message);
  };
  const found = await (values.repair ? wall.repair() : wall.verify()).catch(said);
  const left = values.repair ? await wall.verify().catch(said) : found;
  if (values.json) console.log(JSON.stringify({ found, left }));
  else if (found.length === 0) console.log("The provider's firewall is as it should be.");
  else
    console.log([...found, left.length === 0 ? "Repaired." : "It does not stand: repair it with --repair."].join("\n"));
  return left.length > 0 ? 1 : 0;
}
