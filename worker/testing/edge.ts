import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { expect, inject } from "vitest";
import { generateSigningKey, keyId, toBase64url } from "../../schema/protocol/index.ts";
import { hashPassword } from "../accounts/passwords.ts";
import type { World } from "../clock.ts";
import { openDatabase } from "../db.ts";
import { createEdge } from "../edge.ts";
import { type Config, parseEnv } from "../env.ts";

declare module "vitest" {
  interface ProvidedContext {
    databases: string;
  }
}

export const DASHBOARD = "https://chelar.example";
export const OPERATOR_TOKEN = "operator-token-of-the-tests-0123456789";
export const randomText = () =>
  toBase64url(crypto.getRandomValues(new Uint8Array(9)))
    .toLowerCase()
    .replace(/[_-]/g, "0");

const known = new Map<string, Promise<Record<string, string>>>();

/** Bindings of this test file's edge, with a database of its own. The same for every edge that the file starts. */
export function testBindings(): Promise<Record<string, string>> {
  // Files share one Worker and its modules, but not a database.
  const file = expect.getState().testPath ?? "";
  const bindings = known.get(file) ?? makeBindings();
  known.set(file, bindings);
  return bindings;
}

async function makeBindings(): Promise<Record<string, string>> {
  const commandKey = await generateSigningKey();
  const kid = await keyId(commandKey);
  return {
    DASHBOARD_ORIGIN: DASHBOARD,
    TENANT_ORIGIN: "https://*.agents.example",
    ...((await (await fetch(inject("databases"), { method: "POST" })).json()) as Record<string, string>),
    AUTH_SECRET: "a-secret-of-the-tests-that-is-long-enough",
    OPERATOR_TOKEN,
    COMMAND_KEYS: JSON.stringify({ version: 1, current: kid, keys: [{ kid, ...commandKey }] }),
    VAULT_KEYS: JSON.stringify({ current: 1, keys: { 1: toBase64url(crypto.getRandomValues(new Uint8Array(32))) } }),
    TICKET_KEY: JSON.stringify(await generateSigningKey()),
    MAIL: JSON.stringify({ driver: "resend", key: "key-of-the-tests", from: "Chelar <chelar@chelar.example>" }),
    AUTH_RATE_LIMIT: "off",
    MAX_TENANTS_PER_OWNER: "100",
    BILLING: JSON.stringify({ mode: "off" }),
  };
}

/** A clock that a test can move; it runs with the real one. */
export function movableWorld(): World & { forward(ms: number): void } {
  let offset = 0;
  return {
    now: () => Date.now() + offset,
    // Waiting for a host that is away is pointless where the test decides when it comes back.
    sleep: () => Promise.resolve(),
    random: (bytes) => crypto.getRandomValues(new Uint8Array(bytes)),
    forward: (ms) => {
      offset += ms;
    },
  };
}

export interface TestEdge {
  config: Config;
  /** Mail that the provider took, oldest first. */
  letters: { to: string; subject: string; text: string }[];
  db: ReturnType<typeof openDatabase>;
  world: ReturnType<typeof movableWorld>;
  tick(): Promise<void>;
  /** Sends a request and waits for the work that goes on after the answer. */
  send(path: string, init?: RequestInit): Promise<Response>;
  /** The same, without waiting. */
  sendOnly(path: string, init?: RequestInit): Promise<Response>;
}

const CHANGES_NOTHING = /^\s*(select|begin|commit|rollback)\b/i;

export async function startTestEdge(
  options: {
    bindings?: Record<string, string>;
    fetch?: typeof fetch;
    onStatement?: (sql: string) => void;
    /** Before each call that may change the database; one that throws keeps it from being made, a promise holds it up. */
    onWrite?: (statements: readonly string[]) => void | Promise<void>;
  } = {},
): Promise<TestEdge> {
  const config = parseEnv({ ...(await testBindings()), ...options.bindings });
  const world = movableWorld();
  const db = openDatabase(config.database, async (input, init) => {
    const { onStatement, onWrite } = options;
    const request = new Request(input, init);
    if (onStatement || onWrite) {
      const found = (await request.clone().text()).matchAll(/"sql":"((?:[^"\\]|\\.)*)"/g);
      const statements = [...found].map(([, sql = ""]) => sql);
      for (const sql of statements) onStatement?.(sql);
      if (statements.some((sql) => !CHANGES_NOTHING.test(sql))) await onWrite?.(statements);
    }
    return fetch(request);
  });
  const letters: TestEdge["letters"] = [];
  const edge = createEdge(config, {
    db,
    world,
    hash: (password) => hashPassword(password, { N: 16, r: 1, p: 1 }),
    mail: async (_url, init) => {
      const { to, subject, text } = JSON.parse(String(init?.body)) as { to: [string]; subject: string; text: string };
      letters.push({ to: to[0], subject, text });
      return Response.json({ id: "accepted" });
    },
    fetch: options.fetch ?? (async () => Promise.reject(new Error("no host is reachable"))),
  });
  const sendOnly = async (path: string, init?: RequestInit) =>
    edge.app.fetch(
      new Request(new URL(path, config.dashboardOrigin), { redirect: "manual", ...init }),
      {},
      createExecutionContext(),
    );
  return {
    config,
    letters,
    db,
    world,
    tick: edge.tick,
    sendOnly,
    async send(path, init) {
      const context = createExecutionContext();
      const request = new Request(new URL(path, config.dashboardOrigin), { redirect: "manual", ...init });
      const response = await edge.app.fetch(request, {}, context);
      await waitOnExecutionContext(context);
      return response;
    },
  };
}

/** The Cookie header of a browser that held `held` and was told `lines`. */
function withCookies(held: string, lines: readonly string[]): string {
  const jar = new Map(held.split("; ").flatMap((pair) => (pair ? [[pair.split("=")[0] as string, pair]] : [])));
  for (const line of lines) {
    const [pair = ""] = line.split(";");
    const name = pair.split("=")[0] as string;
    if (/;\s*max-age=0/i.test(line)) jar.delete(name);
    else jar.set(name, pair);
  }
  return [...jar.values()].join("; ");
}

/** A browser-like client of the dashboard: keeps cookies, sends its Origin. */
export class Client {
  readonly email = `${randomText()}@example.com`;
  readonly password = "correct horse battery";
  readonly edge: TestEdge;
  cookie = "";

  constructor(edge: TestEdge) {
    this.edge = edge;
  }

  async request(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Response> {
    const response = await this.edge.send(path, {
      method,
      headers: {
        origin: this.edge.config.dashboardOrigin,
        ...(this.cookie ? { cookie: this.cookie } : {}),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    this.cookie = withCookies(this.cookie, response.headers.getSetCookie());
    return response;
  }

  async json<T>(method: string, path: string, body?: unknown): Promise<{ status: number; body: T }> {
    const response = await this.request(method, path, body);
    return { status: response.status, body: (await response.json()) as T };
  }

  /** Signs up, reads the mail and follows its link. */
  async signUp(): Promise<this> {
    const person = { name: "Test Person", email: this.email, password: this.password };
    await this.#must("/api/auth/sign-up/email", person);
    await this.#must("/api/auth/confirm-email", { token: this.tokenInMail("/verify"), password: this.password });
    return this;
  }

  /** Of the newest link to `path` that was mailed to this person. */
  tokenInMail(path: string): string {
    const texts = this.edge.letters.filter(({ to }) => to === this.email).map(({ text }) => text);
    const token = new RegExp(`${path}\\?token=(\\S+)`).exec(
      texts.findLast((text) => text.includes(`${path}?`)) ?? "",
    )?.[1];
    if (!token) throw new Error(`no mail to ${this.email} with a link to ${path}`);
    return token;
  }

  async #must(path: string, body: object): Promise<void> {
    const response = await this.request("POST", path, body);
    if (!response.ok) throw new Error(`${path} answered ${response.status} ${await response.text()}`);
  }

  async create(name = `t${randomText()}`, more: object = {}) {
    return this.json<{ id: string; name: string; state: string; code: string; generation: number }>(
      "POST",
      "/api/v1/tenants",
      { name, runtime: "echo", ...more },
    );
  }
}
