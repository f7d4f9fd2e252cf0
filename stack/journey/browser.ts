import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { type BrowserContext, chromium } from "playwright-core";
import type { Account } from "../client.ts";

/** A real Chromium with a profile of its own, as one person's browser. */
export interface RealBrowser {
  context: BrowserContext;
  close(): Promise<void>;
}

/** `tenantAddress`: where `*.agents.localhost` is, when it is not this machine. */
export async function openBrowser(
  tenantAddress?: string,
  { javaScriptEnabled = true }: { javaScriptEnabled?: boolean } = {},
): Promise<RealBrowser> {
  const profile = mkdtempSync(`${tmpdir()}/chelar-browser-`);
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: "/usr/bin/chromium",
    headless: true,
    javaScriptEnabled,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      ...(tenantAddress ? [`--host-resolver-rules=MAP *.agents.localhost ${tenantAddress}`] : []),
    ],
  });
  return {
    context,
    async close() {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

export interface Visit {
  status: number;
  title: string;
  /** First words of each WebSocket frame that the page received. */
  frames: string[];
}

/** Signs in by the form, opens the address as a person would, and watches what its WebSocket hears. */
export async function visitSignedIn(
  browser: RealBrowser,
  account: Account,
  url: string,
  heard: RegExp | null,
): Promise<Visit> {
  const page = await browser.context.newPage();
  const { email, password } = account.credentials();
  await page.goto(`${account.dashboard}/sign-in`);
  await page.fill('input[name="email"]', email);
  await page.fill('input[name="password"]', password);
  await Promise.all([page.waitForURL(/\/agents/), page.click('main button[type="submit"]')]);

  const frames: string[] = [];
  const { promise: enough, resolve } = Promise.withResolvers<void>();
  page.on("websocket", (socket) =>
    socket.on("framereceived", ({ payload }) => {
      frames.push(String(payload).slice(0, 200));
      if (heard?.test(String(payload))) resolve();
    }),
  );
  const answer = await page.goto(url, { waitUntil: "domcontentloaded" });
  if (heard) await Promise.race([enough, new Promise((late) => setTimeout(late, 30_000))]);
  const visit = { status: answer?.status() ?? 0, title: await page.title(), frames };
  await page.close();
  return visit;
}
