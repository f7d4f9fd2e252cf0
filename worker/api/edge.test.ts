import { beforeAll, describe, expect, it } from "vitest";
import { Client, startTestEdge, type TestEdge } from "../testing/edge.ts";
import { TestHost } from "../testing/host.ts";

let edge: TestEdge;
let owner: Client;

beforeAll(async () => {
  edge = await startTestEdge({ bindings: { AUTH_RATE_LIMIT: "on" } });
  owner = await new Client(edge).signUp();
  await (await TestHost.make()).enrol(edge);
});

describe("the API as a whole", () => {
  it("says with every answer how many calls are left, and refuses those beyond them", async () => {
    const first = await owner.request("GET", "/api/v1/me");
    expect(first.headers.get("ratelimit-policy")).toBe('"reads";q=600;w=60');
    expect(first.headers.get("ratelimit")).toMatch(/^"reads";r=\d+;t=\d+$/);
    const key = { authorization: "Bearer chk_nobody" };
    const answers = await Promise.all(
      Array.from({ length: 121 }, () => edge.send("/api/v1/tenants", { method: "POST", headers: key })),
    );
    const over = answers.filter(({ status }) => status === 429);
    expect(over).toHaveLength(1);
    expect(Number(over[0]?.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await over[0]?.json()).toMatchObject({ code: "rate_limited" });
  });

  it("pages the agents of their owner, newest first, and refuses a limit that it does not take", async () => {
    const names = [];
    for (let i = 0; i < 3; i += 1) names.unshift((await owner.create()).body.name);
    type Page = { tenants: { name: string }[]; next: string | null };
    const first = await owner.json<Page>("GET", "/api/v1/tenants?limit=2");
    // Made in between: it stands before the first page, and pushes nothing onto the second.
    await owner.create();
    const second = await owner.json<Page>("GET", `/api/v1/tenants?limit=2&cursor=${first.body.next}`);
    expect([...first.body.tenants, ...second.body.tenants].map(({ name }) => name)).toEqual(names);
    expect(second.body.next).toBeNull();
    const refused = await owner.json<{ code: string; field: string }>("GET", "/api/v1/tenants?limit=1000");
    expect([refused.status, refused.body.code, refused.body.field]).toEqual([400, "invalid_body", "limit"]);
  });
});
