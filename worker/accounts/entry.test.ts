import { eq } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { account, mails, session, user, verification } from "../../schema/db/index.ts";
import { Client, OPERATOR_TOKEN, randomText, startTestEdge, type TestEdge } from "../testing/edge.ts";

let edge: TestEdge;
beforeAll(async () => {
  edge = await startTestEdge();
});

const post = (client: Client, path: string, body: object) => client.request("POST", `/api/auth${path}`, body);
const codeOf = async (response: Response) => ((await response.json()) as { code: string }).code;
const shapeOf = (value: unknown): unknown =>
  value !== null && typeof value === "object"
    ? Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shapeOf(inner)]))
    : typeof value;
const lettersTo = (client: Client) => edge.letters.filter(({ to }) => to === client.email);
const signUpOnly = async (client: Client) => {
  const person = { name: "Ada", email: client.email, password: client.password };
  expect((await post(client, "/sign-up/email", person)).status).toBe(200);
};
const isIn = async (client: Client) =>
  (await edge.send("/api/v1/me", { headers: { cookie: client.cookie } })).status === 200;

describe("before an address is confirmed", () => {
  it("nobody is signed in, and the right password says what is missing while a wrong one says nothing", async () => {
    const client = new Client(edge);
    await signUpOnly(client);
    expect(client.cookie).toBe("");
    const right = await post(client, "/sign-in/email", { email: client.email, password: client.password });
    expect([right.status, await codeOf(right)]).toEqual([403, "email_not_verified"]);
    expect(lettersTo(client)).toHaveLength(1);
    const wrong = await post(client, "/sign-in/email", { email: client.email, password: "wrong password!" });
    expect([wrong.status, await codeOf(wrong)]).toEqual([401, "invalid_email_or_password"]);
    expect(await edge.db.select().from(session)).toEqual([]);
  });

  it("the link alone opens nothing: whoever signed up with a stranger's address needs that stranger's click and has it not", async () => {
    const client = new Client(edge);
    await signUpOnly(client);
    const token = client.tokenInMail("/verify");
    const clicked = await post(client, "/confirm-email", { token, password: "what the owner would try" });
    expect([clicked.status, await codeOf(clicked)]).toEqual([401, "invalid_password"]);
    expect((await edge.send(`/api/auth/verify-email?token=${token}`)).status).toBe(404);
    const [row] = await edge.db.select().from(user).where(eq(user.email, client.email));
    expect(row?.emailVerified).toBe(false);
  });

  it("the owner of the address takes the account over by a reset, and the other's password is gone", async () => {
    const client = new Client(edge);
    await signUpOnly(client);
    await post(client, "/request-password-reset", { email: client.email });
    const token = client.tokenInMail("/reset");
    expect((await post(client, "/reset-password", { token, newPassword: "mine from now on" })).status).toBe(200);
    const old = await post(client, "/sign-in/email", { email: client.email, password: client.password });
    expect(old.status).toBe(401);
    const own = await post(client, "/sign-in/email", { email: client.email, password: "mine from now on" });
    expect(own.status).toBe(200);
  });

  it("a link that was used, forged or made for another is refused, and opens no second session", async () => {
    const [client, other] = [await new Client(edge).signUp(), new Client(edge)];
    const used = client.tokenInMail("/verify");
    const { password } = client;
    const again = await post(other, "/confirm-email", { token: used, password });
    expect([again.status, await codeOf(again)]).toEqual([400, "email_already_verified"]);
    for (const token of [`${used.slice(0, -3)}AAA`, "x", "", "a.b.c"]) {
      const forged = await post(other, "/confirm-email", { token, password });
      expect([forged.status, await codeOf(forged)]).toEqual([400, "invalid_token"]);
    }
    expect(other.cookie).toBe("");
  });

  it("the address is free again after a week", async () => {
    const client = new Client(edge);
    await signUpOnly(client);
    const long = new Date(Date.now() - 8 * 24 * 3_600_000);
    await edge.db.update(user).set({ createdAt: long }).where(eq(user.email, client.email));
    await edge.tick();
    expect(await edge.db.select().from(user).where(eq(user.email, client.email))).toEqual([]);
  });
});

describe("whether somebody has an account", () => {
  it("is not told by sign-up: same answer, and a letter to the owner instead of an account", async () => {
    const owner = await new Client(edge).signUp();
    const sign = async (email: string) => {
      const client = new Client(edge);
      const response = await post(client, "/sign-up/email", { name: "Eve", email, password: "another password" });
      return { status: response.status, cookie: client.cookie, shape: shapeOf(await response.json()) };
    };
    expect(await sign(owner.email)).toEqual(await sign(`${randomText()}@example.com`));
    expect(await sign(owner.email.toUpperCase())).toMatchObject({ status: 200 });
    expect(lettersTo(owner).at(-1)?.subject).toBe("You already have an account");
    const { email, password } = owner;
    expect((await post(owner, "/sign-in/email", { email, password })).status).toBe(200);
  });

  it("takes as many writes of sign-up as a new account does", async () => {
    const owner = await new Client(edge).signUp();
    const statementsOf = async (email: string) => {
      const seen: string[] = [];
      const counted = await startTestEdge({ onStatement: (text) => seen.push(text.trim().split(/\s/)[0] as string) });
      const body = { name: "Eve", email, password: "another password" };
      // Without what comes after the answer.
      await counted.sendOnly("/api/auth/sign-up/email", {
        method: "POST",
        headers: { "content-type": "application/json", origin: edge.config.dashboardOrigin },
        body: JSON.stringify(body),
      });
      return seen.filter((verb) => verb !== "select").length;
    };
    const writes = await statementsOf(`${randomText()}@example.com`);
    expect(writes).toBeGreaterThan(2);
    expect(await statementsOf(owner.email)).toBe(writes);
  });

  it.each(["/request-password-reset", "/send-verification-email"])(
    "is not told by %s, whose work begins after the answer",
    async (path) => {
      const owner = await new Client(edge).signUp();
      const before = edge.letters.length;
      const ask = async (email: string) => {
        const response = await edge.sendOnly(`/api/auth${path}`, {
          method: "POST",
          headers: { "content-type": "application/json", origin: edge.config.dashboardOrigin },
          body: JSON.stringify({ email }),
        });
        return { status: response.status, text: await response.text(), letters: edge.letters.length - before };
      };
      const [known, unknown] = [await ask(owner.email), await ask("nobody@example.com")];
      expect(known).toEqual({ status: 200, text: '{"status":true}', letters: 0 });
      expect(unknown).toEqual(known);
    },
  );
});

describe("a new password", () => {
  it("by mail ends every session, works once, and is told to the owner", async () => {
    const client = await new Client(edge).signUp();
    const { cookie } = client;
    await post(client, "/request-password-reset", { email: client.email });
    const token = client.tokenInMail("/reset");
    const links = JSON.stringify(await edge.db.select().from(verification));
    expect(links).not.toContain(token);
    const weak = await post(client, "/reset-password", { token, newPassword: "short" });
    expect([weak.status, await codeOf(weak)]).toEqual([400, "password_too_short"]);
    expect((await post(client, "/reset-password", { token, newPassword: "a better password" })).status).toBe(200);
    expect((await edge.send("/api/v1/me", { headers: { cookie } })).status).toBe(401);
    const again = await post(client, "/reset-password", { token, newPassword: "yet another one" });
    expect([again.status, await codeOf(again)]).toEqual([400, "invalid_token"]);
    expect(lettersTo(client).at(-1)?.text).toContain("A new password was chosen");
  });

  it("from within ends all other sessions, even when the caller would rather not", async () => {
    const [here, there] = [await new Client(edge).signUp(), new Client(edge)];
    const { email, password } = here;
    await post(there, "/sign-in/email", { email, password });
    const wrong = await post(here, "/change-password", {
      currentPassword: "wrong password!",
      newPassword: "long enough too",
    });
    expect([wrong.status, await isIn(there)]).toEqual([400, true]);
    expect(lettersTo(here).at(-1)?.subject).toBe("Confirm your address");
    const change = { currentPassword: password, newPassword: "long enough too", revokeOtherSessions: false };
    expect((await post(here, "/change-password", change)).status).toBe(200);
    expect([await isIn(here), await isIn(there)]).toEqual([true, false]);
  });
});

describe("sessions", () => {
  it("are listed without anything that opens them, and end one by one or all but one's own", async () => {
    const here = await new Client(edge).signUp();
    const others = [new Client(edge), new Client(edge), new Client(edge)];
    for (const other of others) {
      await post(other, "/sign-in/email", { email: here.email, password: here.password });
    }
    type Listed = { sessions: { id: string; current: boolean }[] };
    const listed = await here.json<Listed>("GET", "/api/v1/sessions");
    expect(listed.body.sessions).toHaveLength(4);
    expect(listed.body.sessions.filter(({ current }) => current)).toHaveLength(1);
    const rows = await edge.db.select().from(session);
    for (const { token } of rows) expect(JSON.stringify(listed.body)).not.toContain(token);

    const stranger = await new Client(edge).signUp();
    for (const { id } of listed.body.sessions) await stranger.request("DELETE", `/api/v1/sessions/${id}`);
    expect(await Promise.all(others.map(isIn))).toEqual([true, true, true]);

    const one = listed.body.sessions.find(({ current }) => !current)?.id;
    expect((await here.request("DELETE", `/api/v1/sessions/${one}`)).status).toBe(204);
    expect((await Promise.all(others.map(isIn))).filter(Boolean)).toHaveLength(2);
    expect((await here.request("DELETE", "/api/v1/sessions")).status).toBe(204);
    expect([await isIn(here), ...(await Promise.all(others.map(isIn)))]).toEqual([true, false, false, false]);
  });
});

describe("the operator", () => {
  const ask = (method: string, path: string, token = OPERATOR_TOKEN) =>
    edge.send(`/api/v1/operator/people${path}`, { method, headers: { authorization: `Bearer ${token}` } });
  const idOf = async (client: Client) =>
    ((await (await ask("GET", `?email=${client.email}`)).json()) as { id: string }).id;

  it("suspends somebody: every session ends, no way of signing in is left, and resuming gives it back", async () => {
    const client = await new Client(edge).signUp();
    const id = await idOf(client);
    expect((await ask("POST", `/${id}/suspend`)).status).toBe(200);
    expect(await isIn(client)).toBe(false);
    const { email, password } = client;
    const refused = await post(client, "/sign-in/email", { email, password });
    expect([refused.status, await codeOf(refused)]).toEqual([403, "account_suspended"]);
    const wrong = await post(client, "/sign-in/email", { email, password: "wrong password!" });
    expect(await codeOf(wrong)).toBe("invalid_email_or_password");
    expect((await ask("POST", `/${id}/resume`)).status).toBe(200);
    expect((await post(client, "/sign-in/email", { email, password })).status).toBe(200);
  });

  it("is not let in by a session that was made while the account was being suspended", async () => {
    const client = await new Client(edge).signUp();
    await edge.db.update(user).set({ suspendedAt: new Date() }).where(eq(user.email, client.email));
    expect(await isIn(client)).toBe(false);
  });

  it("makes a person an operator, whose old sessions do not become an operator's", async () => {
    const client = await new Client(edge).signUp();
    const id = await idOf(client);
    const made = await ask("POST", `/${id}/operator`);
    expect([made.status, await made.json()]).toMatchObject([200, { role: "operator" }]);
    expect(await isIn(client)).toBe(false);
    await post(client, "/sign-in/email", { email: client.email, password: client.password });
    expect((await client.json<{ role: string }>("GET", "/api/v1/me")).body.role).toBe("operator");
  });

  it("is nobody without the token, and roles cannot be chosen by their bearer", async () => {
    const client = await new Client(edge).signUp();
    expect((await ask("GET", `?email=${client.email}`, "x".repeat(40))).status).toBe(401);
    expect((await ask("POST", `/${randomText()}/suspend`)).status).toBe(404);
    await post(client, "/update-user", { name: "Ada", role: "operator", suspendedAt: null });
    expect((await client.json<{ role: string }>("GET", "/api/v1/me")).body.role).toBe("person");
    const eve = new Client(edge);
    await post(eve, "/sign-up/email", { name: "Eve", email: eve.email, password: eve.password, role: "operator" });
    const rows = await edge.db.select().from(user).where(eq(user.email, eve.email));
    expect(rows.filter(({ role }) => role !== "person")).toEqual([]);
  });
});

it("nobody fills the database with what they call themselves", async () => {
  const client = new Client(edge);
  const long = "x".repeat(20_000);
  await client.request(
    "POST",
    "/api/auth/sign-up/email",
    { name: long, image: long, email: client.email, password: client.password },
    { "user-agent": long },
  );
  const token = client.tokenInMail("/verify");
  const agent = { "user-agent": long };
  await client.request("POST", "/api/auth/confirm-email", { token, password: client.password }, agent);
  await post(client, "/update-user", { name: long, image: long });
  const [row] = await edge.db.select().from(user).where(eq(user.email, client.email));
  const [own] = await edge.db
    .select()
    .from(session)
    .where(eq(session.userId, row?.id ?? ""));
  expect([row?.name.length, row?.image, own?.userAgent?.length]).toEqual([100, null, 300]);
});

it("no letter stays in the database once it was accepted", async () => {
  const client = await new Client(edge).signUp();
  expect(await edge.db.select().from(mails).where(eq(mails.recipient, client.email))).toEqual([]);
  expect(await edge.db.select().from(account)).not.toEqual([]);
});
