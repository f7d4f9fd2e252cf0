import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import type { BrowserContext } from "playwright-core";
import { startStripeServer } from "../../test/stand-ins/stripe-server.ts";
import { Account } from "../client.ts";
import { type Edge, startEdge } from "../edge.ts";
import { bringSecrets } from "../secrets.ts";
import { freePort } from "../sqld.ts";
import { ROOT } from "../worker.ts";
import { type Known, PAYERS, type Payer, type Who } from "./pages.ts";
import { bill, fill } from "./seed.ts";

const STRIPE = { key: "sk_test_screens", secret: "whsec_screens0123456789abcdef" };
const PRICES = { price_starter: 900, price_pro: 1900, price_team: 4900 };

/** The real edge with a real database, filled as after some months; no host runs, since no page asks one. */
export interface Lab {
  edge: Edge;
  known: Known;
  people: Readonly<Record<Exclude<Who, "nobody">, Account>>;
  /** Puts a signed-in person's cookies into a browser. */
  enter(context: BrowserContext, who: Who): Promise<void>;
  stop(): Promise<void>;
}

export async function startLab(options: { beside?: { port: number; source: string } } = {}): Promise<Lab> {
  mkdirSync(`${ROOT}/.chelar`, { recursive: true });
  const dir = mkdtempSync(`${ROOT}/.chelar/screens-lab-`);
  const undo: (() => unknown)[] = [() => rmSync(dir, { recursive: true, force: true })];
  const stop = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    const port = await freePort();
    const stripe = await startStripeServer(
      { key: STRIPE.key, prices: PRICES },
      { webhook: `http://localhost:${port}/api/billing/events`, secret: STRIPE.secret },
    );
    undo.push(() => stripe.close());
    const edge = await startEdge({
      ...{ dir, runDir: `${dir}/run`, listen: "127.0.0.1", port, tenantOrigin: "http://*.agents.localhost:8080" },
      secrets: await bringSecrets(dir),
      extra: {
        AUTH_RATE_LIMIT: "off",
        BILLING: JSON.stringify({
          ...{ mode: "stripe", key: STRIPE.key, webhookSecrets: [STRIPE.secret] },
          prices: { starter: ["price_starter"], pro: ["price_pro"], team: ["price_team"] },
          ...{ api: stripe.origin, pages: [stripe.origin] },
        }),
      },
      beside: options.beside,
    });
    undo.push(() => edge.stop());
    const owner = await person(edge, "Ada Lovelace", "ada@example.org");
    const operator = await person(edge, "Grace Hopper", "grace@example.org");
    const known = await fill(edge, owner);
    await promote(edge, operator);
    const payers = {} as Record<Payer, Account>;
    for (const who of PAYERS) payers[who] = await person(edge, "Mary Somerville", `${who}@example.org`);
    await bill(edge, payers);
    const people = { owner, operator, ...payers };
    return {
      ...{ edge, known, people, stop },
      async enter(context, who) {
        await context.clearCookies();
        if (who === "nobody") return;
        const held = people[who].client.cookieHeader(new URL(edge.dashboard));
        await context.addCookies(
          held.split("; ").map((pair) => {
            const at = pair.indexOf("=");
            return { name: pair.slice(0, at), value: pair.slice(at + 1), url: edge.dashboard, httpOnly: true };
          }),
        );
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function person(edge: Edge, name: string, email: string): Promise<Account> {
  const account = new Account(edge.dashboard);
  await account.signUp({ name, email, password: "correct horse battery" });
  return account;
}

/** As `npm run account -- operator` does it; a new role begins with a new sign-in. */
async function promote({ dashboard, operatorToken }: Edge, account: Account): Promise<void> {
  const headers = { authorization: `Bearer ${operatorToken}` };
  const found = await fetch(`${dashboard}/api/v1/operator/people?email=${account.credentials().email}`, { headers });
  const { id } = (await found.json()) as { id: string };
  const done = await fetch(`${dashboard}/api/v1/operator/people/${id}/operator`, { method: "POST", headers });
  if (!done.ok) throw new Error(`nobody became operator: ${done.status}`);
  await account.signIn();
}
