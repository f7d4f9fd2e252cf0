import { readConfig } from "../../host-agent/config.ts";
import { createLog } from "../../host-agent/log.ts";
import { serve } from "../../host-agent/serve.ts";

/**
 * The host agent that ends by SIGKILL after its n-th commit from the moment that it is told n: `node dying-agent.ts
 * CONFIG`. The commit is on the disk, and what should follow it never happens.
 */
const [configFile = ""] = process.argv.slice(2);
let left: number | null = null;
process.on("message", (commits: number | null) => {
  left = commits;
  process.send?.("armed");
});
await serve(
  readConfig(configFile),
  createLog((line) => process.stderr.write(line)),
  {
    onCommit() {
      if (left === null) return;
      left -= 1;
      if (left === 0) process.kill(process.pid, "SIGKILL");
    },
  },
);
