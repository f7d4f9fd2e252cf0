import { eq } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { tenantSalts, tenants } from "../../schema/db/index.ts";
import { type Settled, startSettled } from "../testing/settled.ts";
import { decideTransition, type TenantRow } from "./rules.ts";

const HOUR_MS = 3_600_000;
let { edge, host, owner } = {} as Settled;
beforeAll(async () => {
  ({ edge, host, owner } = await startSettled({ bindings: { UNDO_DELETION_HOURS: "24" } }));
});

interface View {
  state: string;
  desired: string;
  undoUntil: string | null;
  code?: string;
}
const act = (method: string, path: string, body?: unknown) => owner.json<View>(method, `/api/v1/tenants/${path}`, body);
const told = () => host.commands.at(-1);
const saltOf = async (id: string) =>
  (await edge.db.select().from(tenantSalts).where(eq(tenantSalts.tenantId, id)))[0]?.salt;

describe("a deletion that can be undone", () => {
  it("stops the agent at once, destroys nothing, and is shown with its end", async () => {
    const { id } = (await owner.create()).body;
    const { body } = await act("DELETE", id);
    expect(body).toMatchObject({ state: "deleting", desired: "stopped" });
    expect(Date.parse(body.undoUntil ?? "") - edge.world.now()).toBeGreaterThan(23 * HOUR_MS);
    expect(told()).toMatchObject({ type: "tenant.apply", desired: "stopped" });
    await edge.tick();
    expect(await saltOf(id)).toBeTruthy();
  });

  it("leaves nothing to be done but to undo it", async () => {
    const { id } = (await owner.create()).body;
    await act("DELETE", id);
    const refused = ["start", "stop", "restart", "backup", "move"].map((what) => act("POST", `${id}/${what}`));
    refused.push(act("PUT", `${id}/secrets/ANTHROPIC_API_KEY`, { value: "sk-ant-0123456789-0123456789" }));
    for (const { body } of await Promise.all(refused)) expect(body.code).toBe("tenant_deleting");
    const again = await act("DELETE", id);
    expect(again.status).toBe(202);
    expect((await act("POST", `${id}/undelete`)).body).toMatchObject({ desired: "running", undoUntil: null });
    expect(told()).toMatchObject({ type: "tenant.apply", desired: "running" });
    edge.world.forward(25 * HOUR_MS);
    await edge.tick();
    expect(await saltOf(id)).toBeTruthy();
  });

  it("brings a stopped one back stopped", async () => {
    const { id } = (await owner.create()).body;
    await act("POST", `${id}/stop`);
    await act("DELETE", id);
    expect((await act("POST", `${id}/undelete`)).body.desired).toBe("stopped");
  });

  it("begins when its time is over, and cannot be undone from then on", async () => {
    const { id } = (await owner.create()).body;
    await act("DELETE", id);
    edge.world.forward(25 * HOUR_MS);
    await edge.tick();
    expect(await saltOf(id)).toBeNull();
    expect(host.commands.some((command) => command.type === "tenant.purge" && command.tenantId === id)).toBe(true);
    expect((await act("POST", `${id}/undelete`)).body.code).toBe("tenant_deleting");
    expect((await act("GET", id)).body).toMatchObject({ state: "deleting", undoUntil: null });
  });

  it("undone in the very turn that begins it, is one or the other and never both", async () => {
    const { id } = (await owner.create()).body;
    await act("DELETE", id);
    edge.world.forward(25 * HOUR_MS);
    const [undone] = await Promise.all([act("POST", `${id}/undelete`), edge.tick()]);
    const [row] = await edge.db.select().from(tenants).where(eq(tenants.id, id));
    const lives = undone.status === 202;
    expect(row?.desired).toBe(lives ? "running" : "deleted");
    expect(Boolean(await saltOf(id))).toBe(lives);
  });
});

describe("a deletion that waits", () => {
  const row = { desired: "running", generation: 3, restarts: 1, observed: "running", heldFrom: null } as const;
  const undo = { waiting: null, nowMs: 1_000, windowMs: 500, isMoving: false };

  it("of a held agent starts nothing when the account is paid meanwhile, and is held again when undone", () => {
    const held = { ...row, desired: "stopped", heldFrom: "running" } as const;
    const asked = decideTransition(held, "delete", undo);
    expect(asked).toMatchObject({
      to: { desired: "stopped", heldFrom: "stopped" },
      waiting: { deleteFrom: "running" },
    });
    const waiting = { deleteAt: 1_500, deleteFrom: "running" } as const;
    const back = decideTransition({ ...held, heldFrom: "stopped" }, "undelete", { ...undo, waiting });
    expect(back).toMatchObject({ to: { desired: "stopped", heldFrom: "running" }, waiting: null });
  });

  it("of an agent on the move brings back what its owner wanted, which was no stop", () => {
    const moving: Pick<TenantRow, "desired"> & typeof row = { ...row, desired: "stopped" } as never;
    const asked = decideTransition(moving, "delete", { ...undo, isMoving: true });
    expect(asked).toMatchObject({ waiting: { deleteFrom: "running" } });
  });
});
