import { beforeEach, describe, expect, it } from "vitest";
import { good, problem, refuse } from "../problem.ts";
import type { Verdict } from "../vault/rules.ts";
import { agentView, BOT_TOKEN, CHANNEL } from "./in-memory.ts";
import { errorAt, ID, type Visit, visit } from "./visiting.ts";

const KEY = "sk-ant-never-rendered-0123456789";
const ANSWERS = { name: "ada-helper", runtime: "openclaw", provider: "anthropic" };

let ada: Visit;
beforeEach(() => {
  ada = visit();
});
const text = async (path: string) => (await ada.get(path)).text();
const ask = (answers: Record<string, string>) => ada.get(`/agents/new?${new URLSearchParams(answers)}`);
const heading = (html: string) => /<h1>([^<]*)/.exec(html)?.[1];

describe("the questions", () => {
  it("come one after the other, each with what was answered before", async () => {
    expect(heading(await text("/agents/new"))).toBe("What is it called?");
    const second = await (await ask({ name: "ada-helper" })).text();
    expect(heading(second)).toBe("What does it run?");
    expect(second).toContain(`<input type="hidden" name="name" value="ada-helper"`);
    const third = await (await ask({ name: "ada-helper", runtime: "echo" })).text();
    expect(heading(third)).toBe("Which model does it think with?");
    expect(third).toContain(`<input type="hidden" name="runtime" value="echo"`);
  });

  it("can be gone back to without losing an answer", async () => {
    const third = await (await ask(ANSWERS)).text();
    const back = /href="(\/agents\/new\?[^"]*at=name[^"]*)"/.exec(third)?.[1]?.replaceAll("&amp;", "&") ?? "";
    const first = await text(back);
    expect(heading(first)).toBe("What is it called?");
    expect(first).toContain(`value="ada-helper"`);
    expect(first).toContain(`<input type="hidden" name="runtime" value="openclaw"`);
  });

  it.each([
    ["A_b", "This name does not work"],
    ["a", "This name does not work"],
    ["admin", "This name is reserved"],
    ["ada-helper", "This name is taken"],
  ])("stop at the name %s, which stays in its field", async (name, message) => {
    ada.own();
    const answer = await ask({ name });
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(await answer.clone().text()).toContain(`value="${name}"`);
    expect(await errorAt(answer, "name")).toContain(message);
  });

  it("are asked of somebody who has signed in first, and who then goes on where the link led", async () => {
    const answer = await ada.get("/agents/new?name=ada-helper", {});
    expect(answer.headers.get("location")).toBe("/sign-in?next=%2Fagents%2Fnew%3Fname%3Dada-helper");
  });
});

describe("the last answer", () => {
  it("hands over name, runtime and the key under its provider's name, and goes to where the walls go up", async () => {
    const answer = await ada.post("/agents/new", { ...ANSWERS, key: ` ${KEY}\n` });
    expect(answer.status).toBe(303);
    expect(answer.headers.get("location")).toBe(`/agents/${ID}/setup?provider=anthropic&said=accepted`);
    expect(ada.world.created).toEqual([
      { name: "ada-helper", runtime: "openclaw", secrets: { ANTHROPIC_API_KEY: KEY } },
    ]);
    expect(await text(`/agents/${ID}/setup?provider=anthropic&said=accepted`)).toContain("Anthropic accepts this key.");
  });

  it("can be left for later", async () => {
    const answer = await ada.post("/agents/new", { ...ANSWERS, key: "", later: "yes" });
    expect(answer.headers.get("location")).toBe(`/agents/${ID}/setup`);
    expect(ada.world.created).toEqual([{ name: "ada-helper", runtime: "openclaw" }]);
  });

  it.each<Verdict>(["wrong_key", "no_credit", "not_allowed"])(
    "that its provider calls %s is asked for again, unless the owner insists",
    async (verdict) => {
      ada.world.deps.keys.checks.check = async () => good({ verdict, words: "Its provider says no." });
      const answer = await ada.post("/agents/new", { ...ANSWERS, key: KEY });
      expect(answer.status).toBe(422);
      const html = await answer.clone().text();
      expect(html).not.toContain(KEY);
      expect(html).toContain(`name="insist"`);
      expect(html).toMatch(/value="anthropic" selected/);
      expect(html).toContain(`<input type="hidden" name="name" value="ada-helper"`);
      expect(await errorAt(answer, "key")).toContain("Its provider says no.");
      expect(ada.world.created).toEqual([]);
      expect((await ada.post("/agents/new", { ...ANSWERS, key: KEY, insist: "yes" })).status).toBe(303);
    },
  );

  it.each<Verdict>(["busy", "unreachable", "unclear"])("goes on when its provider is %s", async (verdict) => {
    ada.world.deps.keys.checks.check = async () => good({ verdict, words: "Nobody knows." });
    expect((await ada.post("/agents/new", { ...ANSWERS, key: KEY })).headers.get("location")).toContain(verdict);
  });

  it("goes on when keys were tried too often: the creation decides", async () => {
    ada.world.deps.keys.checks.check = async () => refuse("rate_limited");
    expect((await ada.post("/agents/new", { ...ANSWERS, key: KEY })).status).toBe(303);
  });

  it("that cannot be a key stands with its message, and is never rendered", async () => {
    ada.world.deps.keys.checks.check = async () => refuse("invalid_secret", { field: "value", detail: "Not a key." });
    const answer = await ada.post("/agents/new", { ...ANSWERS, key: KEY });
    expect(await answer.clone().text()).not.toContain(KEY);
    expect(await errorAt(answer, "key")).toContain("Not a key.");
  });

  it("asks whose key it is instead of dropping it", async () => {
    const answer = await ada.post("/agents/new", { ...ANSWERS, provider: "", key: KEY });
    expect(answer.status).toBe(422);
    expect(await errorAt(answer, "provider")).toContain("Whose key is it");
    expect(ada.world.created).toEqual([]);
  });

  it("takes the person back to the name when another was faster, and keeps every other answer", async () => {
    ada.own();
    const answer = await ada.post("/agents/new", { ...ANSWERS, key: KEY });
    expect(answer.status).toBe(409);
    const html = await answer.clone().text();
    expect(html).toContain(`<input type="hidden" name="provider" value="anthropic"`);
    expect(html).not.toContain(KEY);
    expect(await errorAt(answer, "name")).toContain("This name is taken");
  });

  it("says above the form what is nobody's fault, and asks for the key again", async () => {
    ada.world.deps.tenants.create = async () => ({ ok: false, problem: problem("no_capacity") });
    const answer = await ada.post("/agents/new", { ...ANSWERS, key: KEY });
    expect(answer.status).toBe(503);
    expect(await answer.clone().text()).toMatch(/role="alert"><strong>No server has room right now/);
    expect(await errorAt(answer, "key")).toContain("Please paste the key again");
  });
});

describe("where the walls go up", () => {
  it("follows its server's own steps, and opens the agent when it runs", async () => {
    ada.own({ state: "creating" });
    const building = await text(`/agents/${ID}/setup`);
    expect(building).toContain(`data-stream="/api/v1/tenants/${ID}/events?after=0"`);
    expect(building).not.toContain(`href="${agentView().url}"`);
    ada.own();
    expect(await text(`/agents/${ID}/setup`)).toContain(`href="${agentView().url}"`);
  });

  it("says what failed, and how to try again", async () => {
    ada.own({ state: "failed", failure: "The image could not be fetched." });
    const html = await text(`/agents/${ID}/setup`);
    expect(html).toContain("The image could not be fetched.");
    expect(html).toContain(`action="/agents/${ID}/restart"`);
  });
});

describe("the step at Telegram", () => {
  beforeEach(() => ada.own());
  const SETUP = `/agents/${ID}/setup`;
  const heading = (html: string) => /aria-current="step">(\w+)/.exec(html)?.[1];

  it("asks for the token, and says at its field why one is refused, without repeating it", async () => {
    expect(heading(await text(SETUP))).toBe("Telegram");
    const answer = await ada.post(`${SETUP}/telegram`, { token: "7:wrong" });
    expect(answer.status).toBe(422);
    expect(await answer.clone().text()).not.toContain("7:wrong");
    expect(await errorAt(answer, "token")).toContain("Telegram does not know it.");
  });

  it("shows the bot's name and a code to send, once, and waits for its owner", async () => {
    const html = await (await ada.post(`${SETUP}/telegram`, { token: BOT_TOKEN })).text();
    expect(html).toContain("@ada_bot");
    expect(html).toContain("ABCD-EFGH");
    expect(html).toContain("https://t.me/ada_bot?start=ABCD-EFGH");
    const again = await text(SETUP);
    expect(again).not.toContain("ABCD-EFGH");
    expect(again).toContain("Show a code to send");
    expect(await (await ada.post(`${SETUP}/telegram/code`, {})).text()).toContain("ABCD-EFGH");
  });

  it("is over when the number of its owner is known", async () => {
    ada.world.channels.set(ID, [{ ...CHANNEL, people: [{ id: "424242", addedAt: "2026-11-22T09:00:00Z" }] }]);
    const html = await text(SETUP);
    expect(html).toContain("It knows you: number 424242");
    expect(html).not.toContain("/setup/telegram/code");
    expect(heading(html)).toBe("Running");
  });

  it("is nobody else's", async () => {
    ada.world.agents.set(ID, { ...agentView(), ownerId: "usr_2" });
    for (const path of ["/telegram", "/telegram/code"]) {
      expect((await ada.post(SETUP + path, { token: BOT_TOKEN })).status).toBe(404);
    }
    expect(ada.world.channels.size).toBe(0);
  });
});
