import { eq } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { audit, outbox } from "../../schema/db/index.ts";
import { Client, startTestEdge, type TestEdge } from "../testing/edge.ts";
import { TestHost } from "../testing/host.ts";

let host: TestHost;
let edge: TestEdge;
let owner: Client;

beforeAll(async () => {
  host = await TestHost.make();
  edge = await startTestEdge({ fetch: host.fetch as typeof fetch });
  await host.enrol(edge);
  owner = await new Client(edge).signUp();
});

describe("creating an agent", () => {
  it("commits tenant, audit and outbox together and delivers the signed command to its host", async () => {
    const { status, body } = await owner.create();
    expect(status).toBe(201);
    expect(body).toMatchObject({ state: "pending", generation: 1 });
    const command = host.commands.at(-1);
    expect(command).toMatchObject({ type: "tenant.apply", generation: 1, desired: "running", secretsJwe: null });
    const rows = await edge.db.select().from(outbox).where(eq(outbox.tenantId, body.id));
    expect(rows).toHaveLength(1);
    expect(rows[0]?.deliveredAt).not.toBeNull();
    const trail = await edge.db.select().from(audit).where(eq(audit.subject, body.id));
    expect(trail.map(({ action }) => action)).toEqual(["tenant.create"]);
  });
});
