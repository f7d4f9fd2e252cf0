import { z } from "zod";
import { BootstrapFailed } from "./failure.ts";
import { nodePath, PATHS, type Programs } from "./plan.ts";
import type { Server } from "./ssh.ts";

const row = z.object({ id: z.string(), outcome: z.string(), evidence: z.string() });
const verdict = z.object({
  attacks: z.array(row),
  held: z.number(),
  breached: z.number(),
  unproven: z.number(),
  notManaged: z.number(),
  gates: z.array(z.object({ name: z.string(), have: z.string(), need: z.string(), ok: z.boolean() })),
});
export type PostureVerdict = z.infer<typeof verdict>;

const line = z.union([
  z.object({ progress: z.object({ fraction: z.number(), detail: z.string() }) }),
  z.object({ verdict }),
  z.object({ error: z.string() }),
]);

/** Posts to the agent's own door, a socket that only root on that server may open; prints its answer line by line. */
const ASK = `require("http").request({ socketPath: process.argv[1], path: "/posture", method: "POST" }, (r) =>
  r.pipe(process.stdout)).on("error", (e) => { console.error(e.message); process.exit(1); }).end();`;

/** Lets the host attack its own walls and resolves with what it found. Half a minute or so. */
export async function attackPosture(
  server: Server,
  programs: Programs,
  onProgress: (detail: string) => void,
): Promise<PostureVerdict> {
  let found: PostureVerdict | null = null;
  let failure = "";
  const argv = [nodePath(programs), "-e", ASK, `${PATHS.run}/operator.sock`];
  const { stderr } = await server.exec(argv, "", (text) => {
    const told = line.safeParse(parseJson(text)).data;
    if (!told) return;
    if ("progress" in told) onProgress(`${Math.round(told.progress.fraction * 100)} % ${told.progress.detail}`);
    else if ("verdict" in told) found = told.verdict;
    else failure = told.error;
  });
  if (found) return found;
  throw new BootstrapFailed({
    reason: "step_failed",
    step: "posture",
    detail: failure || stderr.trim() || "the host agent ended before it had a verdict",
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
