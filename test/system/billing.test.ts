import { randomBytes } from "node:crypto";
import { createClient } from "@libsql/client/http";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { Account, type Ask } from "../../stack/client.ts";
import { type StripeServer, startStripeServer } from "../stand-ins/stripe-server.ts";
import { takeCensus } from "./agent-lab.ts";
import { type Platform, startPlatform } from "./platform.ts";

const KEY = "sk_test_system";
const SECRET = "whsec_system0123456789abcdef";
const tag = randomBytes(5).toString("hex");
let stripe: StripeServer;
let platform: Platform;
let account: Account;

beforeAll(async () => {
  const prices = { price_starter: 900, price_pro: 1900, price_team: 4900 };
  const webhook = { webhook: "http://127.0.0.1:8787/api/billing/events", secret: SECRET };
  stripe = await startStripeServer({ key: KEY, prices }, webhook);
  const billing = {
    ...{ mode: "stripe", key: KEY, webhookSecrets: [SECRET], api: stripe.origin, pages: [stripe.origin] },
    prices: { starter: ["price_starter"], pro: ["price_pro"], team: ["price_team"] },
  };
  platform = await startPlatform({ edge: { BILLING: JSON.stringify(billing) } });
  account = new Account(platform.edge.dashboard);
  await account.signUp({ name: "payer", email: `${tag}@example.test`, password: `${tag}-correct-horse` });
});
afterAll(async () => {
  await platform?.stop();
  await stripe?.close();
});

const until = (check: () => Promise<void>) => vi.waitFor(check, { timeout: 60_000, interval: 250 });
const api = async <T>(path: string, options: Ask = {}) => (await account.api(path, options)).json<T>();

describe("an account that is not paid", () => {
  it("has no container on its server, no way to start one, and all of its data again once it is paid", async () => {
    const { server, host, edge } = platform;
    const { id } = await api<{ id: string }>("/api/v1/tenants", { body: { name: `held-${tag}`, runtime: "echo" } });
    const stateIs = (wanted: object) =>
      until(async () => {
        await edge.tick();
        expect(await api(`/api/v1/tenants/${id}`)).toMatchObject(wanted);
      });
    const census = () => takeCensus({ host: server, stateDir: host.place.dir, tenantId: id });
    const inside = async (script: string) =>
      (await server.docker.exec(`chelar-${id}`, ["/chelar/busybox", "sh", "-c", script])).output.trim();
    await stateIs({ state: "running", held: false, plan: "trial" });
    await inside("echo of value > /data/notes");

    // Fourteen days in one step: the clock of a real edge does not move for tests.
    const { databaseUrl: url, databaseAuthToken: authToken } = edge;
    await createClient({ url, authToken }).execute("update billing_accounts set trial_ends_at = 1, review_at = 1");
    await stateIs({ state: "stopped", held: true });
    expect(await census()).toMatchObject({ containers: 0, running: 0 });
    const refused = await account.api(`/api/v1/tenants/${id}/start`, { method: "POST" });
    expect([refused.status, refused.json<{ code: string }>().code]).toEqual([402, "payment_required"]);

    const checkout = await api<{ url: string }>("/api/v1/billing/checkout", { body: { plan: "starter" } });
    const paid = await fetch(checkout.url, {
      method: "POST",
      body: new URLSearchParams({ card: "good" }),
      redirect: "manual",
    });
    expect(paid.headers.get("location")).toBe(`${edge.dashboard}/billing?done=checkout`);
    expect(await stripe.deliver()).toBeGreaterThan(0);
    await stateIs({ state: "running", held: false, plan: "starter" });
    expect(await census()).toMatchObject({ containers: 1, running: 1 });
    expect(await inside("cat /data/notes")).toBe("of value");
  });
});
