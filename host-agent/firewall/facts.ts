import { z } from "zod";
import type { HostFacts } from "./inputs.ts";
import { CommandFailed, type Run } from "./run.ts";

const addressList = z.array(
  z.object({
    ifname: z.string(),
    addr_info: z.array(
      z.object({ family: z.string().optional(), local: z.string().optional(), prefixlen: z.number().optional() }),
    ),
  }),
);

/** Reads what the inputs are checked against; changes nothing. */
export async function readHostFacts(run: Run): Promise<HostFacts> {
  const [iptables, engine, addresses] = await Promise.all([
    versionOf(run, "iptables"),
    versionOf(run, "dockerd"),
    run("ip", ["-4", "-json", "address", "show"]).then((text) => addressList.parse(JSON.parse(text || "[]"))),
  ]);
  return {
    iptablesVersion: iptables,
    engineVersion: engine,
    addresses: addresses.flatMap(({ ifname, addr_info }) =>
      addr_info.flatMap(({ local, prefixlen }) =>
        local === undefined || prefixlen === undefined
          ? []
          : [{ interface: ifname, address: local, prefix: prefixlen }],
      ),
    ),
  };
}

/** `1.8.9` of `iptables v1.8.9 (nf_tables)`, `20.10.24` of `Docker version 20.10.24+dfsg1, build …`; null when the program is not there. */
async function versionOf(run: Run, program: string): Promise<string | null> {
  try {
    const text = await run(program, ["--version"]);
    return /(\d+(?:\.\d+)+)/.exec(text)?.[1] ?? "0";
  } catch (error) {
    if (error instanceof CommandFailed && error.missing) return null;
    throw error;
  }
}
