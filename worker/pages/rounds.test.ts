import { eq } from "drizzle-orm";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { user } from "../../schema/db/index.ts";
import { Client, type TestEdge } from "../testing/edge.ts";
import { startSettled } from "../testing/settled.ts";

/**
 * How often a page waits for the database. Where that is far away, this is nearly all that a page takes: one round trip
 * for who is asking, one for everything that is shown.
 */
let edge: TestEdge;
let owner: Client;
let operator: Client;
let agent: string;

beforeAll(async () => {
  ({ edge, owner } = await startSettled());
  operator = await new Client(edge).signUp();
  await edge.db.update(user).set({ role: "operator" }).where(eq(user.email, operator.email));
  agent = `/agents/${(await owner.create()).body.id}`;
});

/** How many requests reach the database while this page is made. */
async function roundsOf(client: Client, path: string): Promise<number> {
  const asked = vi.spyOn(globalThis, "fetch");
  try {
    const answer = await client.request("GET", path, undefined, { accept: "text/html" });
    expect(answer.status, path).toBe(200);
    return asked.mock.calls.length;
  } finally {
    asked.mockRestore();
  }
}

describe("a page asks the database at most", () => {
  it.each(["/", "/sign-up", "/sign-in", "/forgot"])("never: %s, for a stranger", async (path) => {
    expect(await roundsOf(new Client(edge), path)).toBe(0);
  });

  it.each(["", "/data", "/walls"])("twice: an agent's page %s", async (part) => {
    expect(await roundsOf(owner, `${agent}${part}`)).toBeLessThanOrEqual(2);
  });

  it.each(["/agents", "/agents/new", "/account", "/account/password", "/account/two-factor", "/billing"])(
    "twice: %s",
    async (path) => {
      expect(await roundsOf(owner, path)).toBeLessThanOrEqual(2);
    },
  );

  it.each(["/operator", "/operator/audit", "/operator/sweeps"])("twice: %s", async (path) => {
    expect(await roundsOf(operator, path)).toBeLessThanOrEqual(2);
  });

  it.each(["/setup", "/channels", "/security"])(
    "three times: %s, whose rows are read for its owner only",
    async (part) => {
      expect(await roundsOf(owner, `${agent}${part}`)).toBeLessThanOrEqual(3);
    },
  );

  it("four times: the page of keys, where each look is written down before it is answered", async () => {
    expect(await roundsOf(owner, `${agent}/keys`)).toBeLessThanOrEqual(4);
  });
});
