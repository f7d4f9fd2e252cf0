import { bringPackages } from "../system.ts";
import { makeTestImages } from "../test-images.ts";
import { withTestNetwork } from "../testnet.ts";
import { ROOT } from "../worker.ts";

/** Needs no running stack: the whole product on a server of its own in the test network. */
export async function benchMessages(json: boolean): Promise<number> {
  await bringPackages("test", true);
  await makeTestImages(`${ROOT}/.chelar/test`, (line) => console.error(line));
  const program = ["--disable-warning=ExperimentalWarning", `${ROOT}/test/system/messages-bench.ts`];
  return withTestNetwork(process.execPath, [...program, ...(json ? ["--json"] : [])]);
}
