import { beforeEach, describe, expect, it } from "vitest";
import { refuse } from "../problem.ts";
import { BILLING, CHANNEL } from "./in-memory.ts";
import { errorAt, ID, type Visit, visit } from "./visiting.ts";

/** Every form that takes typed text: what is posted, where the message stands, and what is still there. */
interface Case {
  form: string;
  posted: Record<string, string>;
  /** The field that is at fault. */
  at: string;
  kept?: readonly string[];
  /** Sent as a stranger's. */
  asNobody?: true;
}
const WRONG = "ada@exampl";
const CASES: readonly Case[] = [
  { form: "/sign-up", posted: { name: "", email: WRONG, password: "x" }, at: "name", kept: ["email"], asNobody: true },
  {
    ...{ form: "/sign-up", posted: { name: "Ada", email: WRONG, password: "short" } },
    ...{ at: "password", kept: ["name", "email"], asNobody: true },
  },
  { form: "/sign-in", posted: { email: WRONG, password: "" }, at: "password", kept: ["email"], asNobody: true },
  { form: "/sign-in/code", posted: { code: "" }, at: "code", asNobody: true },
  { form: "/verify", posted: { token: "t", password: "" }, at: "password", asNobody: true },
  { form: "/forgot", posted: { email: "" }, at: "email", asNobody: true },
  { form: "/reset", posted: { token: "t", password: "" }, at: "password", asNobody: true },
  { form: "/agents/new", posted: { name: "A!", runtime: "echo", later: "yes" }, at: "name", kept: ["name"] },
  { form: "/agents/new", posted: { name: "fine-name", runtime: "echo", key: "k" }, at: "provider", kept: ["name"] },
  {
    form: "/agents/new",
    posted: { name: "fine-name", runtime: "echo", provider: "openai" },
    at: "key",
    kept: ["name"],
  },
  { form: `/agents/${ID}/delete`, posted: { confirm: "ada" }, at: "confirm", kept: ["confirm"] },
  { form: `/agents/${ID}/setup/telegram`, posted: { token: "7:x" }, at: "token" },
  { form: "/account/password", posted: { password: "", newPassword: "short" }, at: "newPassword" },
  { form: "/account/keys/new", posted: { name: "", scopes: "tenants:read", days: "30" }, at: "name" },
  { form: "/account/delete", posted: { confirm: "somebody@else.example" }, at: "confirm", kept: ["confirm"] },
  {
    ...{ form: "/account/delete", posted: { confirm: "ada@example.org", password: "guessed" } },
    ...{ at: "password", kept: ["confirm"] },
  },
  { form: `/agents/${ID}/channels/telegram/people`, posted: { person: "@ada" }, at: "person", kept: ["person"] },
  { form: `/agents/${ID}/keys/OPENAI_API_KEY`, posted: { OPENAI_API_KEY: "no key" }, at: "OPENAI_API_KEY" },
  { form: "/billing/tax-id", posted: { type: "eu_vat", value: "DE1" }, at: "value", kept: ["value"] },
];

let ada: Visit;
beforeEach(() => {
  ada = visit();
  ada.own();
  const { deps } = ada.world;
  deps.channels.allow = async () => refuse("invalid_body", { field: "person", detail: "By number, not by name." });
  deps.keys.checks.check = async () => refuse("invalid_secret", { field: "value", detail: "This is no key." });
  const subscription = { standing: "paid", periodEndsAt: "2026-12-22T09:00:00Z", cancelsAt: null } as const;
  deps.billing.read = async () => ({ ...BILLING, payments: "stripe", subscription });
  deps.billing.addTaxId = async () => refuse("invalid_body", { field: "value", detail: "This is no tax id." });
  const { act } = deps.accounts;
  deps.accounts.act = async (c, path, body) =>
    path === "/change-password"
      ? { ok: false, headers: new Headers(), refusal: { code: "PASSWORD_TOO_SHORT", message: "Too short." } }
      : act(c, path, body);
});

describe("bad input", () => {
  it.each(CASES)("in $form: the message stands at $at, and what was typed is kept", async (one) => {
    const { form, posted, at, kept = [], asNobody } = one;
    if (at === "person") ada.world.channels.set(ID, [CHANNEL]);
    const answer = await ada.post(form, posted, asNobody ? {} : undefined);
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.status).toBeLessThan(500);
    const html = await answer.clone().text();
    for (const name of kept) expect(html).toContain(`value="${posted[name]}"`);
    for (const secret of ["password", "newPassword", "key", "token", "OPENAI_API_KEY"]) {
      if (posted[secret] && secret !== "token") expect(html).not.toContain(`value="${posted[secret]}"`);
    }
    expect(await errorAt(answer, at)).toBeTruthy();
  });
});

describe("the account's way out", () => {
  it("is gone only with the address typed and the password right", async () => {
    const gone = await ada.post("/account/delete", { confirm: "ada@example.org", password: "right password" });
    expect(await gone.text()).toContain("You are out");
    expect(ada.world.acts).toEqual([{ path: "leave", body: { id: "usr_1" } }]);
  });

  it("asks somebody without a password to sign in again", async () => {
    ada.world.deps.accounts.confirmAgain = async () => refuse("sign_in_again");
    const answer = await ada.post("/account/delete", { confirm: "ada@example.org" });
    expect(answer.headers.get("location")).toBe("/sign-in?again&next=%2Faccount%2Fdelete");
    expect(ada.world.acts).toEqual([]);
  });
});

describe("an agent that waits for its deletion", () => {
  it("can be had back until then, and nothing else", async () => {
    ada.own({ state: "deleting", undoUntil: "2026-11-22T12:00:00Z" });
    const html = await (await ada.get(`/agents/${ID}`)).text();
    expect(html).toContain("Possible until 22 Nov, 12:00:00 UTC.");
    expect(html).not.toContain(`/agents/${ID}/upgrade"`);
    expect((await ada.post(`/agents/${ID}/undelete`, {})).status).toBe(303);
    expect(ada.world.acted).toEqual([{ id: ID, action: "undelete" }]);
  });
});

it("an upgrade that failed says that the one before runs again", async () => {
  ada.own({ runs: { image: "a@sha256:2", running: "a@sha256:1", refused: "a@sha256:2" } });
  const html = await (await ada.get(`/agents/${ID}`)).text();
  expect(html).toContain("the one before it runs again");
  await ada.post(`/agents/${ID}/upgrade`, {});
  expect(ada.world.acted).toEqual([{ id: ID, action: "upgrade" }]);
});
