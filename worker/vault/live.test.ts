import { and, eq } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { audit } from "../../schema/db/index.ts";
import { Client, startTestEdge, type TestEdge } from "../testing/edge.ts";
import { VERDICTS, verdictWords } from "./live.ts";
import { PROVIDERS, variableFor } from "./providers.ts";

const KEY = "sk-ant-canary0123456789abcdef";
let answer: (request: Request) => Response | Promise<Response>;
const asked: Request[] = [];
let [edge, owner]: [TestEdge, Client] = [] as never;

beforeAll(async () => {
  const outside = async (input: RequestInfo | URL, init?: RequestInit) => {
    const request = new Request(input, init);
    asked.push(request);
    return answer(request);
  };
  edge = await startTestEdge({ fetch: outside as typeof fetch });
  owner = await new Client(edge).signUp();
});

const check = (value = KEY, name = "ANTHROPIC_API_KEY") =>
  owner.json<{ verdict: string; words: string; code: string }>("POST", "/api/v1/providers/check", { name, value });

describe("a live check of a key", () => {
  it("asks the provider itself, with the key where that provider looks for it, and follows no redirect", async () => {
    answer = () => new Response(null, { status: 302, headers: { location: "https://elsewhere.example/" } });
    asked.length = 0;
    expect((await check()).body.verdict).toBe("unclear");
    expect(asked.map(({ url }) => url)).toEqual(["https://api.anthropic.com/v1/messages"]);
    expect(asked[0]?.headers.get("x-api-key")).toBe(KEY);
  });

  it("says unreachable when nobody answers, and repeats nothing of the error", async () => {
    answer = () => Promise.reject(new Error(`cannot reach https://api/${KEY}`));
    const { status, body } = await check();
    expect([status, body.verdict]).toEqual([200, "unreachable"]);
    expect(JSON.stringify(body)).not.toContain("canary");
  });

  it("never repeats what a provider says, and takes no endless answer", async () => {
    answer = ({ headers }) => new Response(`you sent ${headers.get("x-api-key")}`, { status: 401 });
    const { body } = await check();
    expect(body).toEqual({ verdict: "wrong_key", words: verdictWords("wrong_key", "Anthropic") });
    answer = () => new Response("a".repeat(2 ** 20));
    expect((await check()).body.verdict).toBe("unreachable");
  });

  it("asks nobody about what cannot be a key, or for somebody who is not signed in", async () => {
    answer = () => new Response("{}");
    asked.length = 0;
    expect((await check("sk-or-v1-canary0123456789")).body.code).toBe("invalid_secret");
    expect((await check(KEY, "PATH")).body.code).toBe("invalid_secret");
    const stranger = await new Client(edge).json<{ code: string }>("POST", "/api/v1/providers/check", {
      ...{ name: "ANTHROPIC_API_KEY", value: KEY },
    });
    expect(stranger.body.code).toBe("unauthenticated");
    expect(asked).toEqual([]);
  });

  it("is in the audit without the key, and ends for a person who tries key after key", async () => {
    answer = () => new Response("{}", { status: 401 });
    const person = await new Client(edge).signUp();
    const ask = () => person.request("POST", "/api/v1/providers/check", { name: "ANTHROPIC_API_KEY", value: KEY });
    const statuses = await Promise.all(Array.from({ length: 32 }, async () => (await ask()).status));
    expect(statuses.filter((status) => status === 200)).toHaveLength(30);
    expect(statuses.filter((status) => status === 429)).toHaveLength(2);
    const rows = await edge.db
      .select()
      .from(audit)
      .where(and(eq(audit.action, "secret.check")));
    expect(rows.at(-1)?.detail).toBe('{"name":"ANTHROPIC_API_KEY","verdict":"wrong_key"}');
    edge.world.forward(3_600_001);
    expect((await ask()).status).toBe(200);
    edge.world.forward(-3_600_001);
  });
});

describe("the table", () => {
  it("is told with what to ask for, and has a row for each provider and channel that we promise", async () => {
    const { body } = await owner.json<{ providers: { name: string; asks: string }[] }>("GET", "/api/v1/providers");
    expect(body.providers.map(({ name }) => name)).toEqual(PROVIDERS.map(({ env }) => env).sort());
    expect(PROVIDERS.map(({ id }) => id)).toEqual([
      ...["anthropic", "openai", "google", "mistral", "openrouter"],
      ...["telegram", "discord", "slack", "slack-app", "whatsapp"],
    ]);
    for (const { asks } of body.providers) expect(asks.length).toBeGreaterThan(10);
  });

  it("knows the variable of each runtime, and which key a runtime has no use for", () => {
    expect(variableFor("ANTHROPIC_API_KEY", "openclaw")).toBe("ANTHROPIC_API_KEY");
    expect(variableFor("WHATSAPP_ACCESS_TOKEN", "openclaw")).toBeNull();
  });

  it("has words for every verdict", () => {
    expect(new Set(VERDICTS.map((verdict) => verdictWords(verdict, "X"))).size).toBe(VERDICTS.length);
  });
});
