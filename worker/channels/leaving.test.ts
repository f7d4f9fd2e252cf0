import { expect, it } from "vitest";
import { startLab } from "./testing.ts";

it("a bot is told to stop while its agent's deletion can still be undone, and to go on when it is", async () => {
  const token = "124000000:AAHfiqksKZ8WmR2zSjiQ7_v4TMAKdiHm9T0";
  const lab = await startLab({ token, bindings: { UNDO_DELETION_HOURS: "24" } });
  await lab.connect();
  const url = lab.telegram.webhookOf(token)?.url;
  const path = `/api/v1/tenants/${lab.tenantId}`;
  expect((await lab.owner.request("DELETE", path)).status).toBe(202);
  await lab.edge.tick();
  expect(lab.telegram.webhookOf(token)).toBeNull();
  expect((await lab.owner.request("POST", `${path}/undelete`)).status).toBe(202);
  await lab.edge.tick();
  expect(lab.telegram.webhookOf(token)?.url).toBe(url);
});
