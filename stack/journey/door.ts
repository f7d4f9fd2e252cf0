import { Account, expectStatus } from "../client.ts";
import { openBrowser, visitSignedIn } from "./browser.ts";
import { insist, type Recorder } from "./recorder.ts";
import type { Target, Tenant } from "./target.ts";

/** Who gets in, and who does not. */
export async function door(
  target: Target,
  recorder: Recorder,
  owner: Account,
  stranger: Account,
  mine: Tenant,
): Promise<void> {
  await recorder.must("the owner gets in through the door", async () => {
    const page = expectStatus(await owner.client.visit(`${mine.url}/`), 200);
    expectStatus(await owner.client.visit(`${mine.url}/?with=a&query`), 200);
    if (target.runtime === "echo") {
      const seen = JSON.stringify(page.json<object>());
      insist(/x-chelar-user/i.test(seen), "the agent was not told who its visitor is");
      insist(!/chelar-door|__Host-chelar|better-auth/i.test(seen), "a credential of the owner reached the agent");
      return "200; identity arrived, credentials did not";
    }
    insist(/<html/i.test(page.text), "no page came");
    return `200, ${page.text.length} characters of the Control UI`;
  });
  const wsUrl = `${mine.url}/`.replace(/^http/, "ws");
  await recorder.step("the owner's WebSocket connects", async () => {
    const line = await owner.client.webSocket(wsUrl);
    insist(typeof line !== "number", `refused with ${String(line)}`);
    const first = await line.first;
    line.end();
    if (target.runtime === "openclaw")
      insist(/connect\.challenge/.test(first), `unexpected greeting: ${first.slice(0, 80)}`);
    return `first message: ${first.slice(0, 60)}`;
  });
  if (target.runtime === "openclaw") await inChromium(target, recorder, owner, stranger, mine);
  await recorder.step("a signed-in stranger does not get in", async () => {
    expectStatus(await stranger.client.visit(`${mine.url}/`), 403);
    const socket = await stranger.client.webSocket(wsUrl);
    insist(typeof socket === "number", "the stranger's WebSocket was accepted");
    expectStatus(await stranger.api(`/api/v1/tenants/${mine.id}`), 404);
    return `page 403, WebSocket ${socket}, API 404`;
  });
  await recorder.step("somebody without an account does not get in", async () => {
    const nobody = new Account(target.dashboard, target.resolve);
    const page = await nobody.client.ask(`${mine.url}/`, {
      headers: { accept: "text/html", "sec-fetch-mode": "navigate" },
    });
    const forged = await nobody.client.ask(`${mine.url}/`, {
      headers: { "x-chelar-user": "owner", "x-chelar-upstream": "127.0.0.1:1" },
    });
    insist(page.status === 302 && forged.status === 401, `page ${page.status}, forged identity ${forged.status}`);
    return "page 302 to sign-in, forged identity header 401";
  });
}

/** OpenClaw's Control UI is a page that talks over a WebSocket: only a real browser shows that it works. */
async function inChromium(
  target: Target,
  recorder: Recorder,
  owner: Account,
  stranger: Account,
  mine: Tenant,
): Promise<void> {
  const address = target.resolve(new URL(mine.url).hostname) ?? undefined;
  await recorder.step("in Chromium, the owner's Control UI opens and its WebSocket is let in", async () => {
    const browser = await openBrowser(address);
    try {
      const visit = await visitSignedIn(browser, owner, mine.url, /hello-ok/);
      insist(visit.status === 200, `the page answered ${visit.status}`);
      insist(
        visit.frames.some((frame) => frame.includes("hello-ok")),
        `frames: ${visit.frames.join(" | ").slice(0, 300)}`,
      );
      return `200, "${visit.title}", hello-ok after ${visit.frames.length} frames`;
    } finally {
      await browser.close();
    }
  });
  await recorder.step("in Chromium, a stranger is refused", async () => {
    const browser = await openBrowser(address);
    try {
      const visit = await visitSignedIn(browser, stranger, mine.url, null);
      insist(visit.status === 403 && visit.frames.length === 0, `the page answered ${visit.status}`);
      return `403, "${visit.title}"`;
    } finally {
      await browser.close();
    }
  });
}
