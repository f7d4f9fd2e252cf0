import { eq } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { secrets } from "../../schema/db/index.ts";
import { Client, startTestEdge, type TestEdge } from "../testing/edge.ts";
import { TestHost } from "../testing/host.ts";

const KEY = "sk-ant-canary0123456789abcdef";
const NAME = "ANTHROPIC_API_KEY";
let providerSays = 200;
let [host, edge, owner, stranger]: [TestHost, TestEdge, Client, Client] = [] as never;

beforeAll(async () => {
  host = await TestHost.make();
  const outside = (input: RequestInfo | URL, init?: RequestInit) =>
    String(input).startsWith("https://api.anthropic.com/")
      ? Promise.resolve(new Response("{}", { status: providerSays }))
      : (host.fetch as typeof fetch)(input, init);
  edge = await startTestEdge({ fetch: outside as typeof fetch });
  await host.enrol(edge);
  [owner, stranger] = await Promise.all([new Client(edge).signUp(), new Client(edge).signUp()]);
});

const post = (by: Client, path: string, fields: Record<string, string>) =>
  by.request("POST", path, new URLSearchParams(fields).toString(), {
    "content-type": "application/x-www-form-urlencoded",
  });
const stored = (id: string) => edge.db.select().from(secrets).where(eq(secrets.tenantId, id));
const versionOf = async (id: string) => (await stored(id)).find(({ name }) => name === NAME)?.version ?? 0;

describe("the Keys page", () => {
  it("asks for each key in its provider's words, saves one, and says what its provider thinks of it", async () => {
    const { id } = (await owner.create()).body;
    const page = await (await owner.request("GET", `/agents/${id}/keys`)).text();
    expect(page).toContain("console.anthropic.com");
    providerSays = 402;
    const saved = await post(owner, `/agents/${id}/keys/${NAME}`, { [NAME]: ` ${KEY} ` });
    expect(saved.status).toBe(303);
    const after = await (await owner.request("GET", saved.headers.get("location") ?? "")).text();
    expect(after).toContain("no credit left");
    expect(after).toContain("It ends in cdef. Version 1");
    expect(after).not.toContain("canary");
  });

  it("keeps back a key that its provider does not know, until its owner insists", async () => {
    const { id } = (await owner.create()).body;
    providerSays = 401;
    const refused = await post(owner, `/agents/${id}/keys/${NAME}`, { [NAME]: KEY });
    const page = await refused.text();
    expect([refused.status, await versionOf(id)]).toEqual([422, 0]);
    expect(page).toContain("Anthropic does not know this key");
    expect(page).not.toContain("canary");
    expect((await post(owner, `/agents/${id}/keys/${NAME}`, { [NAME]: KEY, insist: "yes" })).status).toBe(303);
    expect(await versionOf(id)).toBe(1);
  });

  it("says at its field what cannot be a key, and removes one on request", async () => {
    const { id } = (await owner.create(undefined, { secrets: { [NAME]: KEY } })).body;
    const wrong = await post(owner, `/agents/${id}/keys/${NAME}`, { [NAME]: "sk-or-v1-canary0123456789" });
    expect([wrong.status, await versionOf(id)]).toEqual([422, 1]);
    expect(await wrong.text()).toMatch(/An Anthropic key starts with sk-ant-/);
    expect((await post(owner, `/agents/${id}/keys/${NAME}/remove`, {})).status).toBe(303);
    expect(await versionOf(id)).toBe(0);
  });

  it("is nobody else's: not found for another person, sign-in for nobody", async () => {
    const { id } = (await owner.create(undefined, { secrets: { [NAME]: KEY } })).body;
    expect((await stranger.request("GET", `/agents/${id}/keys`)).status).toBe(404);
    for (const path of [`/agents/${id}/keys/${NAME}`, `/agents/${id}/keys/${NAME}/remove`]) {
      expect((await post(stranger, path, { [NAME]: KEY })).status).toBe(404);
    }
    expect(await versionOf(id)).toBe(1);
    expect((await new Client(edge).request("GET", `/agents/${id}/keys`)).headers.get("location")).toMatch(/^\/sign-in/);
  });
});
