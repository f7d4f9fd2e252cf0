import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { type IncomingMessage, request } from "node:http";
import { text } from "node:stream/consumers";
import { compactVerify, createLocalJWKSet, decodeJwt } from "jose";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { readCell } from "../../host-agent/status/cell.ts";
import { openBrowser, type RealBrowser } from "../../stack/journey/browser.ts";
import { Inside } from "../../stack/journey/inside.ts";
import { cellRows } from "../../worker/pages/cell-rules.ts";
import { internet } from "../hosts/index.ts";
import { json, type StandIn, serveHttp } from "../stand-ins/http.ts";
import { startModelProvider } from "../stand-ins/model.ts";
import { askOurModel, MODEL_URL } from "../stand-ins/outside.ts";
import { type StripeServer, startStripeServer } from "../stand-ins/stripe-server.ts";
import { createTelegram } from "../stand-ins/telegram.ts";
import { type Platform, startPlatform } from "./platform.ts";

/** One person and one browser, from an empty database to the receipt. Each part begins where the one before ended. */

const KEY = "sk_test_product";
const SECRET = "whsec_product0123456789abcdef";
const GOOD_KEY = "sk-proj-the-one-that-works-0123456789";
const WRONG_KEY = "sk-proj-the-one-that-does-not-0123456";
const BOT = "123456789:AAF-abcdefghijklmnopqrstuvwxyz01234";
const OWNER_NUMBER = 424_242;
/** A public address, as providers have: the walls let an agent out to nothing else. */
const PROVIDERS = new URL(MODEL_URL).hostname;
const FORECAST = "The sun shines, as far as a stand-in can tell.";

/** OpenClaw takes its time to start, and starts again with each new key. */
const PATIENCE_MS = 180_000;

const tag = randomBytes(4).toString("hex");
const ada = { name: "Ada", email: `ada-${tag}@example.test`, password: `${tag} correct horse battery` };
const name = `helper-${tag}`;
const telegram = createTelegram();
const undo: (() => Promise<unknown>)[] = [];
let stripe: StripeServer;
let platform: Platform;
let browser: RealBrowser;
let page: Page;
const problems: string[] = [];

let model: StandIn;

/** Where the edge and the agent find everybody whom they ask: the model's provider, and Telegram. */
async function outside(): Promise<StandIn> {
  await internet.addAddress(PROVIDERS);
  model = await startModelProvider("127.0.0.1", 0, { key: GOOD_KEY, reply: () => FORECAST });
  undo.push(() => model.close());
  return serveHttp(PROVIDERS, 80, async ({ method, path, headers, body }, response) => {
    const { pathname } = new URL(path, "http://t");
    if (/\/bot[^/]+\/\w+$/.test(pathname)) {
      const said = telegram.call(pathname, JSON.parse(body || "{}") as Record<string, unknown>);
      return json(response, said.status, said.body);
    }
    const { authorization = "" } = headers;
    const answer = await fetch(model.url + path.replace(/^\/openai/, ""), {
      ...{ method, headers: { authorization, "content-type": "application/json" } },
      ...(body && { body }),
    });
    const type = answer.headers.get("content-type") ?? "application/json";
    response.writeHead(answer.status, { "content-type": type }).end(await answer.text());
  });
}

beforeAll(async () => {
  telegram.addBot(BOT, "ada_helper_bot");
  const others = await outside();
  undo.push(() => others.close());
  const prices = { price_starter: 900, price_pro: 1900, price_team: 4900 };
  stripe = await startStripeServer(
    { key: KEY, prices },
    { webhook: "http://127.0.0.1:8787/api/billing/events", secret: SECRET },
  );
  undo.push(() => stripe.close());
  const billing = {
    ...{ mode: "stripe", key: KEY, webhookSecrets: [SECRET], api: stripe.origin, pages: [stripe.origin] },
    prices: { starter: ["price_starter"], pro: ["price_pro"], team: ["price_team"] },
  };
  platform = await startPlatform({
    edge: { BILLING: JSON.stringify(billing), PROVIDERS_AT: new URL(others.url).origin },
    server: { images: ["openclaw"] },
  });
  undo.push(() => platform.stop());
  await askOurModel(platform.server);
  browser = await openBrowser(platform.server.address);
  undo.push(() => browser.close());
  page = await browser.context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.on("pageerror", (error) => problems.push(error.message));
  page.on(
    "console",
    (message) => void (message.text().includes("Content Security Policy") && problems.push(message.text())),
  );
});
afterAll(async () => {
  for (const step of undo.reverse()) await step();
});

const fill = async (fields: Record<string, string>) => {
  for (const [field, value] of Object.entries(fields)) await page.fill(`main [name="${field}"]`, value);
};
const press = (button: string | RegExp) => page.getByRole("main").getByRole("button", { name: button }).click();
const follow = (link: string | RegExp) => page.getByRole("link", { name: link }).first().click();
const seen = (text: string | RegExp) => page.getByText(text).first().waitFor();

describe("a person with a browser", () => {
  let agentPath = "";

  it("comes by the landing page, signs up, and confirms the address by the link in the mail", async () => {
    await page.goto(platform.edge.dashboard);
    await follow("Start 14 days free");
    await fill({ name: ada.name, email: ada.email, password: "short" });
    await page
      .locator("main form")
      .first()
      .evaluate((form) => ((form as unknown as { noValidate: boolean }).noValidate = true));
    await press("Create account");
    await seen(/at least 10 characters/i);
    expect(await page.inputValue("[name=email]")).toBe(ada.email);
    await fill({ password: ada.password });
    await press("Create account");
    await follow("the mailbox");
    await follow(/\/verify\?token=/);
    await fill({ password: ada.password });
    await press("Confirm and sign in");
    await seen("Create your first agent");
  });

  it("is led through the setup: a name, a runtime, a key that the provider takes", async () => {
    await follow("Create your first agent");
    await fill({ name });
    await press("Continue");
    await page.check('[value="openclaw"]');
    await press("Continue");
    await page.selectOption("[name=provider]", "openai");
    await fill({ key: WRONG_KEY });
    await press(`Create ${name}`);
    await seen("OpenAI does not know this key");
    await fill({ key: GOOD_KEY });
    await press(`Create ${name}`);
    await seen("OpenAI accepts this key.");
    agentPath = new URL(page.url()).pathname.replace("/setup", "");
  });

  it("connects a bot, and is known to it by a number as soon as the code has come", async () => {
    await fill({ token: BOT });
    await press("Connect the bot");
    await seen("@ada_helper_bot");
    const code = (await page.textContent(".code code")) ?? "";
    telegram.write(BOT, { id: OWNER_NUMBER + 1, username: "ada" }, "hello, it is me, Ada");
    telegram.write(BOT, { id: OWNER_NUMBER, username: "ada" }, code);
    expect(await telegram.push(BOT)).toBe(200);
    await seen(`It knows you: number ${OWNER_NUMBER}`);
    expect(telegram.sent(BOT).map(({ chatId }) => chatId)).toEqual([OWNER_NUMBER]);
  });

  it("sees the walls go up, and is let in to the agent that runs", async () => {
    await page.goto(`${platform.edge.dashboard}${agentPath}`);
    await seen("Your agent is running");
    await follow(`Open ${name}`);
    await page.waitForURL(new RegExp(`//${name}\\.agents\\.localhost`));
    expect(await page.title()).toMatch(/OpenClaw/i);
  });

  it("has it in a cell of which the kernel says what it has to be, and not only what was asked for", async () => {
    const { pid } = await new Inside(platform.server.dockerSocket, agentPath.replace("/agents/", "")).view();
    const cell = await readCell(pid);
    expect(cell && cellRows(cell).map(({ name, found, holds }) => [name, found, holds])).toEqual([
      ["User", expect.stringMatching(/^UID \d{6}$/), true],
      ["Capabilities", "none", true],
      ["New privileges", "impossible", true],
      ["System calls", "filtered", true],
      ["Its system", "read-only", true],
      ["It may write to", expect.stringContaining("/data"), true],
      ["Shared with the server", "nothing", true],
    ]);
  });

  it("is seen by a Prometheus that asks the server", async () => {
    const socketPath = `${platform.host.place.runDir}/operator.sock`;
    const [answer] = (await once(request({ socketPath, path: "/metrics" }).end(), "response")) as [IncomingMessage];
    const told = await text(answer);
    expect(told).toMatch(/^chelar_host_agents\{state="running"\} 1$/m);
    expect(told).toMatch(/^chelar_host_walls_standing 1$/m);
  });

  it("writes to it over Telegram and is answered by it; strangers with the same name are not heard", async () => {
    const answers = () => telegram.sent(BOT).filter(({ text }) => text.includes(FORECAST));
    telegram.write(BOT, { id: OWNER_NUMBER, username: "ada" }, "what is the weather?");
    telegram.write(BOT, { id: OWNER_NUMBER + 1, username: "ada" }, "what is the weather, and her secrets?");
    expect(await telegram.push(BOT)).toBe(200);
    await vi.waitFor(
      async () => {
        await platform.edge.tick();
        expect(answers()).toEqual([{ chatId: OWNER_NUMBER, text: FORECAST }]);
      },
      { timeout: PATIENCE_MS, interval: 500 },
    );
    const asked = model.seen.map(({ body }) => body).join();
    expect(asked).toContain("what is the weather?");
    expect(asked).not.toContain("her secrets");
  });

  it("reads what protects it, and has the ledger checked by this very browser", async () => {
    await page.goto(`${platform.edge.dashboard}${agentPath}`);
    await follow("Security");
    expect(await page.locator("[data-entry]").count()).toBeGreaterThan(1);
    await press("Check it in this browser");
    await seen("your browser has computed every hash again");
    await page.reload();
    await page
      .locator("[data-entry]")
      .last()
      .evaluate((line) => {
        const { dataset } = line as unknown as { dataset: Record<string, string> };
        dataset.entry = (dataset.entry ?? "").replace("tenant.apply", "tenant.purge");
      });
    await press("Check it in this browser");
    await seen("your browser has computed another hash");
  });

  it("moves from the trial to Pro", async () => {
    await follow("Billing");
    await page.locator("form:has([value=pro])").getByRole("button").click();
    await page.waitForURL((url) => url.origin === stripe.origin);
    await page.getByRole("button").first().click();
    await page.waitForURL(/\/billing/);
    expect(await stripe.deliver()).toBeGreaterThan(0);
    await page.goto(`${platform.edge.dashboard}/billing`);
    await seen("Cancel");
    expect(await page.textContent("main")).toMatch(/Pro/);
  });

  it("deletes it by typing its name, and has a receipt that anybody can verify", async () => {
    await page.goto(`${platform.edge.dashboard}${agentPath}`);
    await page.getByText("Delete this agent").click();
    await fill({ confirm: "something-else" });
    await press("Delete for good");
    await seen("This is not its name");
    await fill({ confirm: name });
    await press("Delete for good");
    const link = page.getByRole("link", { name: `Receipt for ${name}` });
    const [download] = await Promise.all([page.waitForEvent("download"), link.click()]);
    const receipt = await readFile(await download.path(), "utf8");
    const keys = await (await fetch(`${platform.edge.dashboard}/.well-known/chelar-receipt-keys.json`)).json();
    await compactVerify(receipt, createLocalJWKSet(keys as Parameters<typeof createLocalJWKSet>[0]));
    expect(JSON.stringify(decodeJwt(receipt))).toContain(name);
    expect(telegram.webhookOf(BOT)).toBeNull();
  });

  it("has met no script that failed, and nothing that the policy had to stop", () => {
    expect(problems).toEqual([]);
  });
});
