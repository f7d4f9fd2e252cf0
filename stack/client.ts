import { type IncomingHttpHeaders, request } from "node:http";
import { WebSocket } from "ws";
import { CookieJar } from "./cookies.ts";

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  url: string;
  json<T>(): T;
}

export interface Ask {
  method?: string;
  headers?: Record<string, string>;
  /** Sent as JSON unless it is a string. */
  body?: unknown;
  timeoutMs?: number;
}

/** Where a host name is reached; null leaves it to the system. */
export type Resolve = (hostname: string) => string | null;

/** An open WebSocket. */
export interface Line {
  /** The first message that came; rejects when the line closes before, or nothing comes within 10 s. */
  first: Promise<string>;
  end(): void;
}

/**
 * A person's browser, as far as the door can tell: keeps cookies per host name, follows redirects when asked, resolves
 * `*.localhost` by itself. What it deliberately lacks is a cookie shared between host names: ours are host-only.
 */
export class Client {
  #cookies = new CookieJar();
  #resolve: Resolve;
  constructor(resolve: Resolve = () => null) {
    this.#resolve = resolve;
  }

  async ask(url: string, options: Ask = {}): Promise<Answer> {
    const target = new URL(url);
    const body =
      options.body === undefined || typeof options.body === "string" ? options.body : JSON.stringify(options.body);
    const headers: Record<string, string> = { host: target.host, ...options.headers };
    const cookie = this.cookieHeader(target);
    if (cookie && !("cookie" in headers)) headers.cookie = cookie;
    if (body !== undefined) {
      headers["content-type"] ??= "application/json";
      headers["content-length"] = String(Buffer.byteLength(body));
    }
    return new Promise<Answer>((resolve, reject) => {
      const call = request(
        {
          host: this.#address(target.hostname),
          port: target.port || 80,
          path: target.pathname + target.search,
          method: options.method ?? (body === undefined ? "GET" : "POST"),
          headers,
          timeout: options.timeoutMs ?? 30_000,
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.once("error", reject);
          response.once("end", () => {
            this.#cookies.keep(target, response.headers["set-cookie"] ?? []);
            const text = Buffer.concat(chunks).toString("utf8");
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              text,
              url,
              json: <T>() => JSON.parse(text) as T,
            });
          });
        },
      );
      call.once("error", reject);
      call.once("timeout", () => call.destroy(new Error(`${url} did not answer in time`)));
      call.end(body);
    });
  }

  /** A page load: asks for HTML and follows up to ten redirects. */
  async visit(url: string): Promise<Answer> {
    let next = url;
    for (let hop = 0; hop < 10; hop++) {
      const answer = await this.ask(next, { headers: { accept: "text/html", "sec-fetch-mode": "navigate" } });
      const location = answer.headers.location;
      if (answer.status < 300 || answer.status > 399 || !location) return answer;
      next = new URL(location, next).href;
    }
    throw new Error(`${url} redirects without end`);
  }

  /** Opens a WebSocket with this person's cookies; resolves with the line, or with the status of the refusal. */
  webSocket(url: string, headers: Record<string, string> = {}): Promise<Line | number> {
    const target = new URL(url);
    const cookie = this.cookieHeader(target);
    const socket = new WebSocket(
      `ws://${this.#address(target.hostname)}:${target.port || 80}${target.pathname}${target.search}`,
      {
        headers: { host: target.host, origin: `http://${target.host}`, ...(cookie ? { cookie } : {}), ...headers },
        handshakeTimeout: 15_000,
      },
    );
    // Before it opens: the first message may come in the same packet as the handshake.
    const first = new Promise<string>((resolve, reject) => {
      socket.once("message", (data) => resolve(String(data)));
      socket.once("close", (code) => reject(new Error(`closed with ${code}`)));
      setTimeout(() => reject(new Error("no message within 10 s")), 10_000).unref();
    });
    first.catch(() => {});
    return new Promise((resolve, reject) => {
      socket.once("open", () => resolve({ first, end: () => socket.terminate() }));
      socket.once("unexpected-response", (_, response) => {
        resolve(response.statusCode ?? 0);
        socket.terminate();
      });
      socket.once("error", reject);
    });
  }

  /** Server-sent events as they come, until `done` says so or the stream ends. */
  async events(url: string, done: (event: { event: string; data: string }) => boolean, seconds = 300): Promise<void> {
    const target = new URL(url);
    const cookie = this.cookieHeader(target);
    await new Promise<void>((resolve, reject) => {
      const call = request(
        {
          host: this.#address(target.hostname),
          port: target.port || 80,
          path: target.pathname + target.search,
          headers: { host: target.host, accept: "text/event-stream", ...(cookie ? { cookie } : {}) },
        },
        (response) => {
          if (response.statusCode !== 200) return reject(new Error(`${url} answered ${response.statusCode}`));
          let text = "";
          response.setEncoding("utf8");
          response.on("data", (chunk: string) => {
            text += chunk;
            for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
              const event = parseEvent(text.slice(0, end));
              text = text.slice(end + 2);
              if (event && done(event)) call.destroy();
            }
          });
          response.once("close", resolve);
        },
      );
      const timer = setTimeout(
        () => call.destroy(new Error(`${url}: nothing decisive within ${seconds} s`)),
        seconds * 1000,
      );
      call.once("close", () => {
        clearTimeout(timer);
        resolve();
      });
      call.once("error", reject);
      call.end();
    });
  }

  cookieHeader(target: URL): string {
    return this.#cookies.headerFor(target);
  }

  #address(hostname: string): string {
    return this.#resolve(hostname) ?? (/(^|\.)localhost$/.test(hostname) ? "127.0.0.1" : hostname);
  }
}

function parseEvent(block: string): { event: string; data: string } | null {
  let event = "message";
  const data: string[] = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) event = line.slice(6).trim();
    if (line.startsWith("data:")) data.push(line.slice(5).trim());
  }
  return data.length > 0 ? { event, data: data.join("\n") } : null;
}

export interface PersonOptions {
  email: string;
  password: string;
  name: string;
}

/** The public API as one person uses it. Every unsafe call carries the dashboard's Origin, as a browser's would. */
export class Account {
  readonly client: Client;
  readonly dashboard: string;
  #person: PersonOptions | null = null;
  constructor(dashboard: string, resolve: Resolve = () => null) {
    this.dashboard = dashboard;
    this.client = new Client(resolve);
  }

  api(path: string, options: Ask = {}): Promise<Answer> {
    return this.client.ask(`${this.dashboard}${path}`, {
      ...options,
      headers: { origin: this.dashboard, accept: "application/json", ...options.headers },
    });
  }

  /** Signs up, reads the mail in the mailbox of the developer's machine, and follows its link. */
  async signUp(person: PersonOptions): Promise<void> {
    this.#person = person;
    expectStatus(await this.api("/api/auth/sign-up/email", { body: person }), 200);
    const token = await this.tokenInMail("/verify");
    expectStatus(await this.api("/api/auth/confirm-email", { body: { token, password: person.password } }), 200);
  }

  /** The token of the newest link to `path` that was mailed to this person. */
  async tokenInMail(path: string): Promise<string> {
    const { email } = this.credentials();
    const answer = expectStatus(await this.api(`/dev/mailbox?to=${encodeURIComponent(email)}`), 200);
    const { letters } = answer.json<{ letters: { text: string }[] }>();
    const token = letters.map(({ text }) => text.split(`${path}?token=`)[1]?.split(/\s/)[0]).find(Boolean);
    if (!token) throw new Error(`no mail to ${email} holds a link to ${path}`);
    return token;
  }

  /** Of the person who signed up here. */
  credentials(): PersonOptions {
    if (!this.#person) throw new Error("nobody has signed up with this account");
    return this.#person;
  }

  async signIn(): Promise<void> {
    const { email, password } = this.credentials();
    expectStatus(await this.api("/api/auth/sign-in/email", { body: { email, password } }), 200);
  }

  async signOut(): Promise<void> {
    expectStatus(await this.api("/api/auth/sign-out", { body: {} }), 200);
  }
}

export function expectStatus(answer: Answer, ...accepted: number[]): Answer {
  if (!accepted.includes(answer.status)) {
    throw new Error(
      `${answer.url} answered ${answer.status}, not ${accepted.join(" or ")}: ${answer.text.slice(0, 300)}`,
    );
  }
  return answer;
}
