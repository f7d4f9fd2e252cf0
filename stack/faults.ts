import { bringPackages } from "./system.ts";
import { makeTestImages } from "./test-images.ts";
import { withTestNetwork } from "./testnet.ts";
import { ROOT } from "./worker.ts";

/** `npm run faults`: kills and faults on test hosts with real Docker. Exit code 1 if anything was lost or left. */
export async function faults({ json }: { json: boolean }): Promise<number> {
  await bringPackages("test", true);
  await makeTestImages(`${ROOT}/.chelar/test`, (line) => console.error(line));
  const program = ["--disable-warning=ExperimentalWarning", `${ROOT}/test/faults/run.ts`];
  return withTestNetwork(process.execPath, [...program, ...(json ? ["--json"] : [])]);
}
