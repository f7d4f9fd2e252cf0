import { bringPackages } from "../system.ts";
import { makeTestImages } from "../test-images.ts";
import { withTestNetwork } from "../testnet.ts";
import { ROOT } from "../worker.ts";

/** Needs no running stack: a server of its own in the test network, with 500 agents that sleep. */
export async function benchAsleep(json: boolean): Promise<number> {
  await bringPackages("test", true);
  await makeTestImages(`${ROOT}/.chelar/test`, (line) => console.error(line));
  const program = ["--disable-warning=ExperimentalWarning", `${ROOT}/test/faults/asleep-bench.ts`];
  return withTestNetwork(process.execPath, [...program, ...(json ? ["--json"] : [])]);
}
