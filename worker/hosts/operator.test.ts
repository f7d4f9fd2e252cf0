import { and, eq } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { audit, hosts, tenants } from "../../schema/db/index.ts";
import { OPERATOR_TOKEN } from "../testing/edge.ts";
import { type Settled, startSettled } from "../testing/settled.ts";
import { decideHostAction } from "./rules.ts";

let { edge, host, owner } = {} as Settled;
let tenantId: string;

beforeAll(async () => {
  ({ edge, host, owner } = await startSettled());
  tenantId = (await owner.create()).body.id;
});

async function ask(action: string, authorization = `Bearer ${OPERATOR_TOKEN}`, id = host.enrolment.hostId) {
  const response = await edge.send(`/api/v1/operator/hosts/${id}/${action}`, {
    method: "POST",
    headers: { authorization },
  });
  const body = (await response.json()) as { code?: string; state?: string; tenants?: number; detail?: string };
  return { status: response.status, ...body };
}
const stateOf = async () => (await edge.db.select().from(hosts).where(eq(hosts.id, host.enrolment.hostId)))[0]?.state;

describe("an operator's word about a host", () => {
  it("is taken from the operator only", async () => {
    for (const authorization of ["", "Bearer ", "Bearer wrong", `Bearer ${OPERATOR_TOKEN}x`]) {
      for (const action of ["drain", "reopen", "remove"]) {
        expect(await ask(action, authorization)).toMatchObject({ status: 401, code: "unauthenticated" });
      }
    }
    expect((await owner.request("POST", `/api/v1/operator/hosts/${host.enrolment.hostId}/remove`)).status).toBe(401);
    expect(await stateOf()).toBe("enrolled");
  });

  it("is refused for a host that nobody knows and for a word that is none", async () => {
    expect(await ask("drain", undefined, "hst_nobody")).toMatchObject({ status: 404, code: "not_found" });
    expect(await ask("explode")).toMatchObject({ status: 404, code: "not_found" });
  });

  it("drains: no new agent is placed there, what is there stays, and said twice it is still so", async () => {
    expect(await ask("drain")).toEqual({ status: 200, id: host.enrolment.hostId, state: "draining", tenants: 1 });
    expect(await ask("drain")).toMatchObject({ status: 200, state: "draining" });
    // An update of the server enrols it again.
    expect((await host.enrol(edge)).ok).toBe(true);
    expect(await stateOf()).toBe("draining");
    expect((await owner.create()).body.code).toBe("no_capacity");
    expect((await owner.request("GET", `/api/v1/tenants/${tenantId}`)).status).toBe(200);
  });

  it("reopens: agents are placed there again", async () => {
    expect(await ask("reopen")).toMatchObject({ status: 200, state: "enrolled" });
    const another = await owner.create();
    expect(another.status).toBeLessThan(300);
    await edge.db.delete(tenants).where(eq(tenants.id, another.body.id));
  });

  it("removes no host that still holds anybody's data", async () => {
    expect(await ask("remove")).toMatchObject({ status: 409, code: "host_not_empty" });
    expect(await stateOf()).toBe("enrolled");
    // Deleted by its owner, and not yet purged there: the data is still on that disk.
    await owner.request("DELETE", `/api/v1/tenants/${tenantId}`);
    await edge.db.update(tenants).set({ purgedAt: null }).where(eq(tenants.id, tenantId));
    expect(await ask("remove")).toMatchObject({ status: 409, code: "host_not_empty" });
  });

  it("removes an empty host, whose reports are refused from then on, and writes down who said so", async () => {
    await edge.db.update(tenants).set({ purgedAt: edge.world.now() }).where(eq(tenants.id, tenantId));
    const report = await host.report({
      type: "host.inventory",
      tenants: [],
      images: [],
      versions: {},
      capacity: { memoryMiB: 1, diskMiB: 1, tenants: 1 },
    });
    expect(await ask("remove")).toMatchObject({ status: 200, state: "removed", tenants: 0 });
    expect((await host.post(edge, report)).status).toBe(403);
    expect(await ask("reopen")).toMatchObject({ status: 404 });
    const written = await edge.db
      .select()
      .from(audit)
      .where(and(eq(audit.subject, host.enrolment.hostId), eq(audit.actor, "operator")));
    expect(written.map(({ action }) => action)).toEqual(["host.drain", "host.reopen", "host.remove"]);
  });

  it("brings a removed host back by no action: it has to enrol again", () => {
    for (const action of ["drain", "reopen", "remove", "abandon"] as const) {
      const removed = { state: "removed", tenants: 0, isSilent: true } as const;
      expect(decideHostAction(action, removed)).toEqual({ ok: false, reason: "gone" });
    }
  });
});
