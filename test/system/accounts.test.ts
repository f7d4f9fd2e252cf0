import { createHmac } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Account } from "../../stack/client.ts";
import { type Edge, startEdge } from "../../stack/edge.ts";
import { openBrowser, type RealBrowser } from "../../stack/journey/browser.ts";
import { bringSecrets } from "../../stack/secrets.ts";
import { runDir } from "../../stack/testnet-cleanup.ts";
import { testRun } from "../hosts/index.ts";

/** One person in a real Chromium, with limits on, against the built worker in workerd. */
const ADA = { name: "Ada", email: "ada@example.test", password: "correct horse battery" };
const NEW_PASSWORD = "another horse altogether";

let edge: Edge;
let ada: RealBrowser;
let elsewhere: RealBrowser;
let page: Page;
const refusedByPolicy: string[] = [];

beforeAll(async () => {
  const dir = `${runDir(testRun())}/a`;
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true, mode: 0o700 });
  [edge, ada, elsewhere] = await Promise.all([
    bringSecrets(dir).then((secrets) =>
      startEdge({
        dir,
        runDir: `${dir}/run`,
        listen: "127.0.0.1",
        port: 8791,
        tenantOrigin: "http://*.agents.localhost:8080",
        secrets,
      }),
    ),
    openBrowser(),
    openBrowser(),
  ]);
  page = await ada.context.newPage();
  page.on("console", (message) => {
    if (/Content Security Policy/i.test(message.text())) refusedByPolicy.push(message.text());
  });
});
afterAll(async () => {
  await Promise.all([ada?.close(), elsewhere?.close(), edge?.stop()]);
});

const open = (path: string, on = page) => on.goto(`${edge.dashboard}${path}`);
const press = (name: string | RegExp, on = page) =>
  on.getByRole("button", typeof name === "string" ? { name, exact: true } : { name }).click();
/** Waits for it: a click returns before the next page is there. */
const see = (title: string, on = page) => on.getByRole("heading", { level: 1, name: title }).waitFor();
const seeError = (field: string, text: string) => page.locator(`#${field}-error`, { hasText: text }).waitFor();
const fill = async (fields: Record<string, string>, on = page) => {
  for (const [name, value] of Object.entries(fields)) await on.fill(`main input[name="${name}"]`, value);
};
const pathOf = (on = page) => new URL(on.url()).pathname;
const signOut = async () => {
  await press("Sign out");
  await page.waitForURL(`${edge.dashboard}/`);
};
const signIn = async (password: string, on = page) => {
  await open("/sign-in", on);
  await fill({ email: ADA.email, password }, on);
  await press("Sign in", on);
};

describe("a person in Chromium", () => {
  it("signs up, reads the mail, confirms the address and is in", async () => {
    await open("/sign-up");
    await fill(ADA);
    await press("Create account");
    await see("Look into your mail");
    await page.getByRole("link", { name: "the mailbox" }).click();
    await page.getByRole("link", { name: /\/verify\?token=/ }).click();
    await fill({ password: "somebody else's idea" });
    await press("Confirm and sign in");
    await seeError("password", "This password is wrong.");
    await fill({ password: ADA.password });
    await press("Confirm and sign in");
    await page.waitForURL(/\/agents$/);
  });

  it("ends the session of another browser, which is out at its next step", async () => {
    const other = await elsewhere.context.newPage();
    await signIn(ADA.password, other);
    await other.waitForURL(/\/agents$/);
    await open("/account");
    await press(/^End the session of/);
    await page.getByRole("button", { name: /^End/ }).waitFor({ state: "detached" });
    await other.reload();
    expect(pathOf(other)).toBe("/sign-in");
    await other.close();
  });

  it("adds a passkey, and signs in with it alone", async () => {
    const devtools = await ada.context.newCDPSession(page);
    await devtools.send("WebAuthn.enable");
    const { authenticatorId } = await devtools.send("WebAuthn.addVirtualAuthenticator", {
      options: {
        protocol: "ctap2",
        transport: "internal",
        hasResidentKey: true,
        hasUserVerification: true,
        isUserVerified: true,
        automaticPresenceSimulation: true,
      },
    });
    await open("/account");
    await page.fill("#passkey-name", "Ada's laptop");
    await press("Add a passkey");
    await page.getByText("Ada's laptop").waitFor();
    await signOut();

    await open("/sign-in");
    await press("Sign in with a passkey");
    await page.waitForURL(/\/agents$/);
    await signOut();

    // A device that somebody picked up and did not unlock, and a browser that tells it not to ask.
    await page.route("**/generate-authenticate-options", async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, json: { ...(await response.json()), userVerification: "discouraged" } });
    });
    await devtools.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: false });
    await open("/sign-in");
    const [answer] = await Promise.all([
      page.waitForResponse(/verify-authentication$/),
      press("Sign in with a passkey"),
    ]);
    expect([answer.status(), await answer.json()]).toMatchObject([401, { code: "user_not_verified" }]);
    await page.getByText("The passkey was not accepted").waitFor();
    await page.unroute("**/generate-authenticate-options");
    await open("/agents");
    expect(pathOf()).toBe("/sign-in");
    await devtools.send("WebAuthn.removeVirtualAuthenticator", { authenticatorId });
  });

  let recoveryCodes: string[] = [];
  it("turns on a code from an app, and signs in with a code, or once with a recovery code", async () => {
    await signIn(ADA.password);
    await open("/account/two-factor");
    await fill({ password: ADA.password });
    await press("Turn on");
    await see("Connect your app");
    expect(await page.locator("svg.qr path").count()).toBe(1);
    const secret = (await page.locator("code.secret").textContent()) ?? "";
    recoveryCodes = await page.locator(".codes code").allTextContents();
    await fill({ code: "000000" });
    await press("Turn on");
    await seeError("code", "wrong");
    await fill({ code: codeOf(secret, 0) });
    await press("Turn on");
    await page.waitForURL(/\/account$/);
    await signOut();

    await signIn(ADA.password);
    await see("One more step");
    await open("/agents");
    expect(pathOf()).toBe("/sign-in");
    await open("/sign-in/code");
    await fill({ code: codeOf(secret, 1) });
    await press("Sign in");
    await page.waitForURL(/\/agents$/);
    await signOut();

    for (const attempt of ["opens", "was used"]) {
      await signIn(ADA.password);
      await see("One more step");
      await fill({ code: recoveryCodes[0] as string });
      await press("Sign in");
      if (attempt === "opens") {
        await page.waitForURL(/\/agents$/);
        await signOut();
      } else {
        await seeError("code", "wrong or has been used");
      }
    }
  });

  it("who forgot the password chooses another by mail, which still asks for the code", async () => {
    await open("/forgot");
    await fill({ email: ADA.email });
    await press("Send the link");
    await see("Look into your mail");
    await page.getByRole("link", { name: "the mailbox" }).click();
    await page
      .getByRole("link", { name: /\/reset\?token=/ })
      .first()
      .click();
    await fill({ password: NEW_PASSWORD });
    await press("Change password");
    await page.waitForURL(/\/sign-in$/);
    await signIn(NEW_PASSWORD);
    await see("One more step");
    await fill({ code: recoveryCodes[1] as string });
    await press("Sign in");
    await page.waitForURL(/\/agents$/);
  });

  it("makes an API key that works until it is removed", async () => {
    await open("/account/keys/new");
    await fill({ name: "my script" });
    await press("Make the key");
    await see("Your new key");
    const key = await page.locator("code.secret").textContent();
    const ask = async () =>
      (await fetch(`${edge.dashboard}/api/v1/tenants`, { headers: { authorization: `Bearer ${key}` } })).status;
    expect(await ask()).toBe(200);
    await open("/account");
    await press("Remove the key my script");
    await page.getByText("my script").waitFor({ state: "detached" });
    expect(await ask()).toBe(401);
  });

  it("never met anything that the content policy had to refuse", () => {
    expect(refusedByPolicy).toEqual([]);
  });
});

it("guessing is slowed down for the one who guesses, and not for the owner elsewhere", async () => {
  const guess = (address: string, password: string) =>
    new Account(edge.dashboard).api("/api/auth/sign-in/email", {
      headers: { "cf-connecting-ip": address },
      body: { email: ADA.email, password },
    });
  const answers = [];
  for (let i = 0; i < 12; i++) answers.push(await guess("203.0.113.66", `guess number ${i}`));
  expect(answers.slice(0, 10).every(({ status }) => status === 401)).toBe(true);
  expect(answers.slice(10).map(({ status }) => status)).toEqual([429, 429]);
  expect(Number(answers.at(-1)?.headers["retry-after"])).toBeGreaterThan(0);
  expect((await guess("203.0.113.67", NEW_PASSWORD)).status).toBe(200);
});

/** RFC 6238, as an authenticator app computes it; `step` 1 is the code that comes next. */
function codeOf(base32: string, step: number): string {
  const bits = [...base32]
    .map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0"))
    .join("");
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + step));
  const hash = createHmac("sha1", key).update(counter).digest();
  return String((hash.readUInt32BE((hash.at(-1) as number) & 15) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}
