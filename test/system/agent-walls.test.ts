import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type AgentLab, createAgentLab } from "./agent-lab.ts";

let lab: AgentLab;
beforeAll(async () => {
  lab = await createAgentLab();
});
afterAll(() => lab?.destroy());

/** What ran before may run on without its engine (live-restore), so its walls cannot wait for one. */
test("keeps the walls true also while no engine answers", async () => {
  await lab.host.stopDocker("SIGKILL");
  await lab.start();
  const standing = () =>
    vi.waitFor(async () => expect(await lab.host.run("iptables-save", [])).toContain("chelar:host-closed"), {
      timeout: 20_000,
      interval: 200,
    });
  await standing();
  await vi.waitFor(() => expect(lab.log()).toContain("start.containers"), { timeout: 20_000, interval: 50 });
  await lab.host.run("iptables", ["-F", "CHELAR-INPUT"]);
  await standing();
  await lab.kill("SIGTERM");
});
