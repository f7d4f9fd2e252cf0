import { randomBytes } from "node:crypto";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createAndWait } from "../../stack/bench/tenants.ts";
import { Account, Client, expectStatus } from "../../stack/client.ts";
import { openBrowser, type RealBrowser } from "../../stack/journey/browser.ts";
import { type Platform, startPlatform, TENANT_ORIGIN } from "./platform.ts";

/** The door of a real agent, for real browsers and for programs, through the real Caddy, gate and edge. */
let platform: Platform;
let owner: Account;
let stranger: Account;
let browser: RealBrowser;
let strangersBrowser: RealBrowser;
let origin: string;

beforeAll(async () => {
  platform = await startPlatform();
  const { dashboard } = platform.edge;
  const resolve = (hostname: string) => (hostname.endsWith(".agents.localhost") ? platform.server.address : null);
  [owner, stranger] = [new Account(dashboard, resolve), new Account(dashboard, resolve)];
  const person = (name: string) => ({ name, email: `${name}@example.test`, password: `${name}-correct-horse` });
  await Promise.all([owner.signUp(person("owner")), stranger.signUp(person("stranger"))]);
  const name = `door-${randomBytes(3).toString("hex")}`;
  origin = TENANT_ORIGIN.replace("*", name);
  [browser, strangersBrowser] = await Promise.all([
    openBrowser(platform.server.address),
    openBrowser(platform.server.address),
    createAndWait(owner, name),
  ]);
});
afterAll(async () => {
  await Promise.all([browser?.close(), strangersBrowser?.close()]);
  await platform?.stop();
});

interface Seen {
  url: string;
  headers: Record<string, string>;
}

async function signIn(page: Page, account: Account): Promise<void> {
  const { email, password } = account.credentials();
  await page.fill('main input[name="email"]', email);
  await page.fill('main input[name="password"]', password);
  await page.click('main button[type="submit"]');
}

/** In the page: a WebSocket and an event stream, of which it notes the first word and the end. */
const WATCHED = `
  window.heard = { socket: 0, events: 0 };
  window.ended = { socket: false, events: false };
  const socket = new WebSocket(location.origin.replace("http", "ws"));
  socket.onmessage = () => { heard.socket = 1; };
  socket.onclose = () => { ended.socket = true; };
  const events = new EventSource("/stream?count=10000&everyMs=1000");
  events.onmessage = () => { heard.events = 1; };
  events.onerror = () => { ended.events = true; };
`;

describe("in a real browser", () => {
  let page: Page;

  it("the agent's address leads over sign-in back to the very page, inside, with nothing of ours", async () => {
    page = await browser.context.newPage();
    await page.goto(`${origin}/chat?x=1`);
    expect(new URL(page.url()).pathname).toBe("/sign-in");
    await signIn(page, owner);
    await page.waitForURL(`${origin}/chat?x=1`);
    const seen = JSON.parse((await page.textContent("body")) ?? "") as Seen;
    expect(seen.url).toBe("/chat?x=1");
    expect(seen.headers["x-chelar-user"]).toMatch(/\w/);
    expect(Object.keys(seen.headers).filter((name) => /cookie|authorization/.test(name))).toEqual([]);
    const cookies = await browser.context.cookies(origin);
    expect(cookies.map(({ name, httpOnly, sameSite }) => [name, httpOnly, sameSite])).toContainEqual([
      "chelar-door",
      true,
      "Lax",
    ]);
  });

  it("another person is shown that it is not theirs", async () => {
    const theirs = await strangersBrowser.context.newPage();
    await theirs.goto(`${origin}/`);
    await signIn(theirs, stranger);
    await theirs.waitForURL(/\/authorize\?/);
    expect(await theirs.textContent("h1")).toBe("This agent is not yours.");
    expect(await strangersBrowser.context.cookies(origin)).not.toContainEqual(
      expect.objectContaining({ name: "chelar-door" }),
    );
  });

  it("signing out shuts the door, and ends what was open: a WebSocket and an event stream", async () => {
    await page.evaluate(WATCHED);
    await page.waitForFunction("heard.socket + heard.events === 2");

    const dashboard = await browser.context.newPage();
    await dashboard.goto(`${platform.edge.dashboard}/agents`);
    await dashboard.getByRole("button", { name: "Sign out" }).click();
    await dashboard.waitForURL(`${platform.edge.dashboard}/`);
    const signedOut = Date.now();
    const status = () => page.evaluate(() => fetch("/").then((answer) => answer.status));
    while ((await status()) !== 401) await page.waitForTimeout(250);
    const shutAfter = Date.now() - signedOut;
    await page.waitForFunction("ended.socket && ended.events", null, { timeout: 100_000 });
    console.log(`signed out: refused after ${shutAfter} ms, open connections ended after ${Date.now() - signedOut} ms`);
    await page.reload();
    expect(new URL(page.url()).pathname).toBe("/sign-in");
  });
});

describe("for programs", () => {
  /** Without a cookie: no browser. */
  const program = () => new Client((host) => (host.endsWith(".agents.localhost") ? platform.server.address : null));
  const knock = (headers: Record<string, string>) =>
    program().ask(`${origin}/api`, { headers: { accept: "application/json", ...headers } });
  const keyOf = async (account: Account, scopes: string[]) => {
    const body = { name: "program", scopes, expiresInDays: 1 };
    return expectStatus(await account.api("/api/v1/keys", { body }), 201).json<{ id: string; key: string }>();
  };

  it("a key for opening agents opens its owner's, as does a token made of it, and neither reaches the agent", async () => {
    const { key } = await keyOf(owner, ["agents:open"]);
    const made = await program().ask(`${platform.edge.dashboard}/api/v1/token`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}` },
    });
    const { token } = expectStatus(made, 201).json<{ token: string }>();
    for (const bearer of [key, token]) {
      const answer = expectStatus(await knock({ authorization: `Bearer ${bearer}` }), 200);
      expect(answer.json<Seen>().headers.authorization).toBeUndefined();
      expect(answer.text).not.toContain(bearer);
      expect(await program().webSocket(`${origin}/`, { authorization: `Bearer ${bearer}` })).not.toBeTypeOf("number");
    }
  });

  it("any other key opens nothing, and is told what to do", async () => {
    const narrow = await knock({ authorization: `Bearer ${(await keyOf(owner, ["tenants:read"])).key}` });
    expect([narrow.status, narrow.json<{ code: string }>().code]).toEqual([403, "insufficient_scope"]);
    const theirs = await knock({ authorization: `Bearer ${(await keyOf(stranger, ["agents:open"])).key}` });
    expect([theirs.status, theirs.json<{ code: string }>().code]).toEqual([403, "not_owner"]);
    const wrong = await knock({ authorization: `Bearer chk_${"x".repeat(43)}` });
    expect([wrong.status, wrong.headers["www-authenticate"]]).toEqual([401, 'Bearer realm="chelar"']);
  });

  it("a key that was removed opens nothing any more", async () => {
    const { id, key } = await keyOf(owner, ["agents:open"]);
    expectStatus(await knock({ authorization: `Bearer ${key}` }), 200);
    expectStatus(await owner.api(`/api/v1/keys/${id}`, { method: "DELETE" }), 204);
    while ((await knock({ authorization: `Bearer ${key}` })).status !== 401) {
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  });

  it("nobody but an enrolled host is told anything by the door itself", async () => {
    const answer = await program().ask(`${platform.edge.dashboard}/forward-auth`, {
      headers: { "x-forwarded-host": new URL(origin).host, "x-forwarded-method": "GET", "x-forwarded-uri": "/" },
    });
    expect([answer.status, answer.json<{ code: string }>().code]).toEqual([403, "host_refused"]);
  });
});
