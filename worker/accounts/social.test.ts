import { eq } from "drizzle-orm";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { account, session, user } from "../../schema/db/index.ts";
import { Client, randomText, startTestEdge, type TestEdge } from "../testing/edge.ts";

const GITHUB = JSON.stringify({ clientId: "client-of-the-tests", clientSecret: "secret-of-the-tests" });

let edge: TestEdge;
beforeAll(async () => {
  edge = await startTestEdge({ bindings: { GITHUB_SIGN_IN: GITHUB } });
});
afterEach(() => vi.unstubAllGlobals());

/** GitHub, as far as better-auth asks it; everything else goes where it went. */
function github(person: { id: number; email: string; verified: boolean }) {
  const real = globalThis.fetch;
  vi.stubGlobal("fetch", async (input: RequestInfo | URL, init?: RequestInit) => {
    const { href } = new URL(input instanceof Request ? input.url : String(input));
    if (href.startsWith("https://github.com/login/oauth/access_token")) {
      return Response.json({ access_token: "token-of-github", token_type: "bearer", scope: "user:email" });
    }
    const { id, email, verified } = person;
    if (href === "https://api.github.com/user") return Response.json({ id, login: "octo", name: "Octo Cat", email });
    if (href.startsWith("https://api.github.com/user/emails")) {
      return Response.json([{ email, verified, primary: true, visibility: "public" }]);
    }
    return real(input, init);
  });
}

/** Presses the button, comes back from GitHub, and says where that led. */
async function through(client: Client, state?: string): Promise<string> {
  const headers = { origin: edge.config.dashboardOrigin, "content-type": "application/x-www-form-urlencoded" };
  const pressed = await client.request("POST", "/sign-in/github", "next=%2Fagents%2Fnew", headers);
  expect(pressed.status).toBe(303);
  const away = new URL(pressed.headers.get("location") ?? "");
  expect(away.origin + away.pathname).toBe("https://github.com/login/oauth/authorize");
  expect(away.searchParams.get("redirect_uri")).toBe(`${edge.config.dashboardOrigin}/api/auth/callback/github`);
  const back = new URLSearchParams({ code: "c0de", state: state ?? away.searchParams.get("state") ?? "" });
  const answer = await client.request("GET", `/api/auth/callback/github?${back}`);
  expect(answer.status).toBe(302);
  return answer.headers.get("location") ?? "";
}
const isIn = async (client: Client) =>
  (await edge.send("/api/v1/me", { headers: { cookie: client.cookie } })).status === 200;

describe("sign-in through another site", () => {
  it("is not there unless it is configured", async () => {
    const without = await startTestEdge();
    expect(await (await without.send("/sign-in")).text()).not.toContain("GitHub");
    const posted = await new Client(without).request("POST", "/sign-in/github", "", {
      "content-type": "application/x-www-form-urlencoded",
    });
    expect(posted.status).toBe(404);
    const asked = await new Client(without).request("POST", "/api/auth/sign-in/social", { provider: "github" });
    expect(asked.status).toBe(404);
    expect(await (await edge.send("/sign-in")).text()).toContain("Continue with GitHub");
    expect((await edge.send("/sign-in")).headers.get("content-security-policy")).toContain("https://github.com");
  });

  it("makes an account, opens it, and leads where the person wanted to go", async () => {
    const email = `${randomText()}@example.com`;
    github({ id: 4711, email, verified: true });
    const client = new Client(edge);
    expect(await through(client)).toBe("/agents/new");
    expect((await client.json("GET", "/api/v1/me")).body).toMatchObject({ email, role: "person" });
    await edge.tick();
    expect(await isIn(client)).toBe(true);
  });

  it("goes by redirect only: a token from elsewhere is taken by nobody", async () => {
    const body = { provider: "github", idToken: { token: "a.b.c" } };
    const refused = await new Client(edge).request("POST", "/api/auth/sign-in/social", body);
    expect([refused.status, await refused.json()]).toMatchObject([400, { code: "id_token_not_supported" }]);
  });

  it("keeps no token of the other site: we never ask it again", async () => {
    const email = `${randomText()}@example.com`;
    github({ id: 4712, email, verified: true });
    await through(new Client(edge));
    expect(JSON.stringify(await edge.db.select().from(account))).not.toContain("token-of-github");
  });

  it("opens what it has made, and never an account with a password, which may ask for a code after it", async () => {
    const owner = await new Client(edge).signUp();
    for (const [id, verified] of [
      [4713, false],
      [4714, true],
    ] as const) {
      github({ id, email: owner.email, verified });
      const client = new Client(edge);
      expect(await through(client)).toContain("/sign-in?error=");
      expect(await isIn(client)).toBe(false);
      vi.unstubAllGlobals();
    }
    github({ id: 4718, email: `${randomText()}@example.com`, verified: true });
    for (const client of [new Client(edge), new Client(edge)]) {
      await through(client);
      expect(await isIn(client)).toBe(true);
    }
  });

  it("makes no account with an address that the other site has not checked", async () => {
    const email = `${randomText()}@example.com`;
    github({ id: 4717, email, verified: false });
    const client = new Client(edge);
    expect(await through(client)).toContain("/sign-in?error=");
    expect(await edge.db.select().from(user).where(eq(user.email, email))).toEqual([]);
    expect(await isIn(client)).toBe(false);
  });

  it("never joins an account that somebody else began with this address", async () => {
    const eve = new Client(edge);
    await eve.request("POST", "/api/auth/sign-up/email", { name: "Eve", email: eve.email, password: eve.password });
    github({ id: 4715, email: eve.email, verified: true });
    const owner = new Client(edge);
    const back = await through(owner);
    expect(back).toContain("/sign-in?error=");
    expect(await (await edge.send(back)).text()).toContain("The other site did not sign you in here");
    expect(await isIn(owner)).toBe(false);
  });

  it("is refused with a state of another browser, and to whoever is suspended", async () => {
    const email = `${randomText()}@example.com`;
    github({ id: 4716, email, verified: true });
    const client = new Client(edge);
    expect(await through(client, "state-of-another-browser")).toContain("error=");
    expect(await isIn(client)).toBe(false);
    await through(client);
    await edge.db.update(user).set({ suspendedAt: new Date() }).where(eq(user.email, email));
    await edge.db.delete(session);
    const again = new Client(edge);
    await through(again).catch(() => "");
    expect(await isIn(again)).toBe(false);
    expect(await edge.db.select().from(session)).toEqual([]);
  });
});
