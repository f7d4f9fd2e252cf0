import { readConfig } from "../../host-agent/config.ts";
import { createLog } from "../../host-agent/log.ts";
import { serve } from "../../host-agent/serve.ts";

/**
 * The host agent that ends by SIGKILL after its n-th commit: `node dying-agent.ts CONFIG N`. The commit is on the disk,
 * and what should follow it never happens.
 */
const [configFile = "", commits = "1"] = process.argv.slice(2);
let left = Number(commits);
await serve(
  readConfig(configFile),
  createLog((line) => process.stderr.write(line)),
  {
    onCommit() {
      left -= 1;
      if (left === 0) process.kill(process.pid, "SIGKILL");
    },
  },
);
