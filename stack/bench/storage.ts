import { bringPackages } from "../system.ts";
import { withTestNetwork } from "../testnet.ts";
import { ROOT } from "../worker.ts";

/** Needs no running stack: a server of its own without Docker, in the test network (about 10 GiB of disk). */
export async function benchStorage(json: boolean): Promise<number> {
  await bringPackages("test", true);
  const program = ["--disable-warning=ExperimentalWarning", `${ROOT}/test/faults/storage-bench.ts`];
  return withTestNetwork(process.execPath, [...program, ...(json ? ["--json"] : [])]);
}
