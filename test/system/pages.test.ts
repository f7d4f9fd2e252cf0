import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Page, Request } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openBrowser, type RealBrowser } from "../../stack/journey/browser.ts";
import { type Lab, startLab } from "../../stack/screens/lab.ts";
import { PAGES, type PageEntry } from "../../stack/screens/pages.ts";

/** Every page of the platform in a real Chromium, on the real edge with a filled database. */

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const FIRST_LOAD_BYTES = 60_000;
const GRAVE = ["serious", "critical"];

let lab: Lab;
const browsers: RealBrowser[] = [];
beforeAll(async () => {
  lab = await startLab();
});
afterAll(async () => {
  for (const browser of browsers) await browser.close();
  await lab?.stop();
});

async function browse(javaScriptEnabled: boolean): Promise<{ page: Page; browser: RealBrowser }> {
  const browser = await openBrowser(undefined, { javaScriptEnabled });
  browsers.push(browser);
  return { browser, page: await browser.context.newPage() };
}
const addressOf = ({ at, route }: PageEntry) => `${lab.edge.dashboard}${at?.(lab.known) ?? route}`;

interface Finding {
  id: string;
  impact: string;
  nodes: { html: string; failureSummary: string }[];
}

/** What axe finds grave; evaluated by the debugger, since our own policy lets no script of a stranger's in. */
async function look(page: Page, rules: readonly string[] | null): Promise<string[]> {
  const found = await page.evaluate(async (only) => {
    const { axe } = globalThis as unknown as { axe: { run(options: object): Promise<{ violations: Finding[] }> } };
    const options = only ? { runOnly: { type: "rule", values: only } } : {};
    return (await axe.run({ ...options, resultTypes: ["violations"] })).violations;
  }, rules);
  return found
    .filter(({ impact }) => GRAVE.includes(impact))
    .flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`));
}

async function transferred(request: Request): Promise<number> {
  const response = await request.response();
  await response?.finished();
  const { responseHeadersSize, responseBodySize } = await request.sizes();
  return responseHeadersSize + responseBodySize;
}

describe("in a browser", () => {
  let page: Page;
  let browser: RealBrowser;
  const errors: string[] = [];
  /** Bytes of everything that a page has brought, as they came over the wire. */
  const loaded: Promise<number>[] = [];
  beforeAll(async () => {
    ({ page, browser } = await browse(true));
    const network = await browser.context.newCDPSession(page);
    await network.send("Network.enable");
    await network.send("Network.setCacheDisabled", { cacheDisabled: true });
    page.on("request", (request) => {
      // A stream of news never ends, and what a page looks at again later is no part of its first load.
      if (["document", "stylesheet", "script", "image", "font"].includes(request.resourceType()))
        loaded.push(transferred(request));
    });
    page.on("pageerror", (error) => errors.push(error.message));
    page.on("console", (line) => {
      if (/Content.Security.Policy|Refused to/i.test(line.text())) errors.push(line.text());
    });
  });

  it.each(PAGES)("$name keeps nobody out, by day or night, and is light to load", async (entry) => {
    await lab.enter(browser.context, entry.as);
    await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
    const answer = await page.goto(addressOf(entry));
    expect(answer?.status()).toBe(entry.status ?? 200);
    const sizes = await Promise.all(loaded.splice(0));
    expect(sizes.length).toBeGreaterThan(1);
    expect(sizes.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThan(FIRST_LOAD_BYTES);

    await page.evaluate(AXE);
    expect(await look(page, null)).toEqual([]);
    await page.evaluate(`for (const one of document.querySelectorAll("details")) one.open = true`);
    expect(await look(page, null)).toEqual([]);
    // At night only the colours are others.
    await page.emulateMedia({ colorScheme: "dark" });
    expect(await look(page, ["color-contrast"])).toEqual([]);
    expect(errors.splice(0)).toEqual([]);
  });
});

describe("without JavaScript", () => {
  /** What a person types who does not know better: no form of ours may break on it. */
  const TYPED: Readonly<Record<string, string>> = { email: "somebody@example.org", password: "not the right one" };
  /** Ids and names make no form another form. */
  const kindOf = (action: string) => action.replace(/\/(?:(?:tnt|hst)_\w+|[A-Z_]+)(?=\/|$)/g, "/…");

  it("every form can be sent, and is answered by a page", async () => {
    const { page, browser } = await browse(false);
    const sent = new Map<string, number>();
    for (const entry of PAGES) {
      await lab.enter(browser.context, entry.as);
      await page.goto(addressOf(entry));
      const forms = await page.locator("main form[action]").evaluateAll((all) =>
        all.map((form) => ({
          action: form.getAttribute("action") ?? "",
          fields: [...form.querySelectorAll("[name]")].map((field) => field.getAttribute("name")).join(),
        })),
      );
      for (const { action, fields } of forms) {
        const kind = `${kindOf(action)} ${fields.replace(/[A-Z_]{6,}/, "…")}`;
        if (sent.has(kind)) continue;
        await page.goto(addressOf(entry));
        const form = page.locator(`main form[action="${action}"]`).first();
        const closed = form.locator("xpath=ancestor::details[not(@open)]/summary");
        if ((await closed.count()) > 0) await closed.first().click();
        // Of a choice that nobody has made yet, the first.
        for (const choice of await form.locator("input[type=radio][required]:visible").all()) {
          const name = await choice.getAttribute("name");
          if ((await form.locator(`input[name="${name}"]:checked`).count()) === 0) await choice.check();
        }
        for (const input of await form.locator("input:visible").all()) {
          const type = (await input.getAttribute("type")) ?? "text";
          if (["checkbox", "radio", "date", "hidden"].includes(type)) continue;
          await input.fill(TYPED[type] ?? "something");
        }
        const button = form.locator("button[type=submit], button:not([type])").first();
        const answered = page.waitForResponse((response) => response.request().isNavigationRequest());
        const [answer] = await Promise.all([answered, button.click()]).catch((error: Error) => {
          throw new Error(`${entry.name}: ${kind} could not be sent: ${error.message}`);
        });
        sent.set(kind, answer.status());
        expect([404, 405, 415, 500], `${kind} answered ${answer.status()}`).not.toContain(answer.status());
        await page.waitForLoadState();
        expect(await page.locator("main, body").count(), `${kind} led nowhere`).toBeGreaterThan(0);
      }
    }
    console.log([...sent].map(([kind, status]) => `${status} ${kind}`).join("\n"));
    expect(sent.size).toBeGreaterThan(20);
  });

  it("signing out is a form like any other", async () => {
    const { page, browser } = await browse(false);
    await lab.enter(browser.context, "owner");
    await page.goto(`${lab.edge.dashboard}/agents`);
    await Promise.all([page.waitForURL(`${lab.edge.dashboard}/`), page.click('form[action="/sign-out"] button')]);
    expect((await page.goto(`${lab.edge.dashboard}/agents`))?.url()).toContain("/sign-in");
  });
});
