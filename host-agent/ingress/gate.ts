import type { IncomingMessage, ServerResponse } from "node:http";
import { CHANNEL_HEADER, type ChannelName } from "../../schema/protocol/index.ts";
import type { Asking } from "../asking/index.ts";
import type { Held, Route, Routes } from "../tenants/ports.ts";
import { answerTo, send, type Verdict } from "./answers.ts";
import { createHolding, type Holding } from "./holding.ts";
import { type Bucket, channelOf, isClosed, isPageLoad, requestedHost, takeToken, tenantCookies } from "./rules.ts";
import { isStream, questionOf } from "./stream-rules.ts";
import type { Streams } from "./streams.ts";

export interface GateOptions {
  /** Monotonic, in milliseconds. */
  now?: () => number;
  /** False until the routes have been rebuilt after a start: "not yet" is another answer than "nobody's". */
  isReady?: () => boolean;
  /** Where connections go that outlast their request. */
  streams?: Pick<Streams, "admit">;
  /** Who asks an agent whose runtime has no place for a channel's own messages. */
  asking?: Pick<Asking, "admit">;
  /** Whether a tenant that may have so many requests and connections open at a time may have one more. */
  admits?: (tenantId: string, limit: number) => boolean;
  patience?: Patience;
}

/** How long somebody is held while the agent wakes, in milliseconds. */
export interface Patience {
  /** A page's reader sees nothing meanwhile: rather a page that says what happens. */
  pageMs: number;
  /** A program, or a form that would be lost: whoever called has no use for a page. */
  clientMs: number;
}
const DEFAULT_PATIENCE: Patience = { pageMs: 1_800, clientMs: 25_000 };
/** Of one tenant: who knocks faster than that is not waiting for an answer. */
const MAX_HELD = 2_000;

export interface Gate extends Routes {
  /** Caddy's second forward_auth, on the host agent's socket; never reachable from outside. */
  handle(request: IncomingMessage, response: ServerResponse): void;
  /** Whether an agent lives under this name, awake or not. */
  knows(hostname: string): boolean;
  /** Of visitors, let in since the host agent began or the door was last removed. */
  requests(hostname: string): number;
}

interface Entry {
  route: Route | null;
  bucket: Bucket | null;
  hold: (Held & { holding: Holding; step: string | null; trouble: string | null }) | null;
  /** Why there is no route and will be none for now. */
  failure: string | null;
  /** Of the last request that was let in; monotonic milliseconds. */
  lastRequestMs: number;
  /** Requests that were let in since the agent began. */
  requests: number;
}

const USER_ID = /^[A-Za-z0-9_-]{1,64}$/;

/**
 * The routes of this host and the one question Caddy asks of them. In memory, so that no tenant's coming or going
 * ever reloads Caddy, which would cut every open WebSocket on the host.
 */
export function createGate(options: GateOptions = {}): Gate {
  const { now = () => performance.now(), isReady = () => true, admits = () => true } = options;
  const { patience = DEFAULT_PATIENCE, streams, asking } = options;
  const entries = new Map<string, Entry>();

  /** The entry of a name, made where it is missing. */
  function entryOf(hostname: string): Entry {
    const name = hostname.toLowerCase();
    const known = entries.get(name);
    if (known) return known;
    const entry: Entry = { route: null, bucket: null, hold: null, failure: null, lastRequestMs: now(), requests: 0 };
    entries.set(name, entry);
    return entry;
  }

  function endHold(entry: Entry, how: "opened" | "over"): void {
    const hold = entry.hold;
    entry.hold = null;
    hold?.holding.end(how);
  }

  /** Who asks, for whom, and how much of it: everything but whether the agent is awake. */
  function admit({ headers }: IncomingMessage): Entry | Verdict {
    if (!isReady()) return { verdict: "not_ready" };
    // The edge's forward_auth comes first and always names a user. If it ever does not, Caddy hands on its own
    // unresolved placeholder as the name: only what looks like a person's id opens.
    if (!USER_ID.test(headers["x-chelar-user"]?.toString() ?? "")) return { verdict: "no_identity" };
    const entry = entries.get(requestedHost(headers["x-forwarded-host"]?.toString()));
    const bounds = entry?.hold ?? entry?.route;
    if (!entry) return { verdict: "unknown_host" };
    if (!bounds) return entry;
    const taken = takeToken(entry.bucket, bounds.requestsPerMinute, now());
    entry.bucket = taken.bucket;
    if (!taken.taken) return { verdict: "too_many", retryAfterSeconds: taken.retryAfterSeconds };
    return entry;
  }

  function decide(entry: Entry, { headers }: IncomingMessage): Verdict | null {
    if (entry.hold) return null;
    if (entry.failure !== null) return { verdict: "failed", isPage: isPageLoad(headers), detail: entry.failure };
    if (!entry.route) return { verdict: "unknown_host" };
    const { upstream, tenantId, closed = [], openConnections: limit } = entry.route;
    const channel = channelOf(headers[CHANNEL_HEADER]);
    if (channel !== null) return handOver(entry, entry.route, channel, headers);
    if (closed.length > 0 && isClosed(headers["x-forwarded-uri"]?.toString(), closed))
      return { verdict: "closed_path" };
    if (limit !== undefined && !admits(tenantId, limit)) return { verdict: "too_many_open", limit };
    entry.lastRequestMs = now();
    entry.requests += 1;
    const cookie = tenantCookies(headers.cookie);
    if (!streams || !isStream(headers)) return { verdict: "open", upstream, cookie, pass: "" };
    const question = questionOf(requestedHost(headers["x-forwarded-host"]?.toString()), headers);
    return { verdict: "open", cookie, ...streams.admit({ tenantId, upstream, question }) };
  }

  /** A delivery has one way in, and the ways of visitors are not its own. No cookies: it is nobody's browser. */
  function handOver(
    entry: Entry,
    route: Route,
    channel: ChannelName | "unknown",
    headers: IncomingMessage["headers"],
  ): Verdict {
    const way = channel === "unknown" ? undefined : route.channels?.[channel];
    const isMeant = headers["x-forwarded-method"] === "POST" && headers["x-forwarded-uri"] === way?.path;
    if (!way || !isMeant) return { verdict: "closed_path" };
    entry.lastRequestMs = now();
    if (way.upstream !== null) return { verdict: "open", upstream: way.upstream, cookie: "", pass: "" };
    return asking ? { verdict: "open", cookie: "", ...asking.admit(route.tenantId) } : { verdict: "closed_path" };
  }

  /** Knocks, and holds the visitor until the agent is there. */
  async function wait(entry: Entry, request: IncomingMessage, response: ServerResponse): Promise<Verdict> {
    const isPage = isPageLoad(request.headers);
    const left = new AbortController();
    response.once("close", () => left.abort());
    const deadline = now() + (isPage ? patience.pageMs : patience.clientMs);
    for (;;) {
      const decided = decide(entry, request);
      if (decided) return decided;
      const { hold } = entry as Entry & { hold: NonNullable<Entry["hold"]> };
      if (hold.holding.count() >= MAX_HELD) return { verdict: "too_many_waiting" };
      hold.knock();
      const end = await hold.holding.wait(Math.max(0, deadline - now()), left.signal);
      if (end === "late" || end === "left") {
        return { verdict: "waking", isPage, step: entry.hold?.step ?? null, trouble: entry.hold?.trouble ?? null };
      }
    }
  }

  return {
    set(hostname, route) {
      // The bucket stays: a restart is no way to a fresh allowance.
      const entry = entryOf(hostname);
      Object.assign(entry, { route, failure: null, lastRequestMs: now() });
      endHold(entry, "opened");
    },
    remove(hostname) {
      const entry = entries.get(hostname.toLowerCase());
      entries.delete(hostname.toLowerCase());
      if (!entry) return;
      Object.assign(entry, { route: null, failure: null });
      endHold(entry, "over");
    },
    fail(hostname, detail) {
      const entry = entryOf(hostname);
      Object.assign(entry, { route: null, failure: detail });
      endHold(entry, "over");
    },
    hold(hostname, held) {
      const entry = entryOf(hostname);
      entry.failure = null;
      entry.hold = { ...held, holding: entry.hold?.holding ?? createHolding(), step: null, trouble: null };
    },
    isHeld: (hostname) => Boolean(entries.get(hostname.toLowerCase())?.hold),
    tell(hostname, news) {
      const hold = entries.get(hostname.toLowerCase())?.hold;
      if (hold) Object.assign(hold, news);
    },
    waiting: (hostname) => entries.get(hostname.toLowerCase())?.hold?.holding.count() ?? 0,
    idleMs(hostname) {
      const entry = entries.get(hostname.toLowerCase());
      return entry ? now() - entry.lastRequestMs : 0;
    },
    stir(hostname) {
      const entry = entries.get(hostname.toLowerCase());
      if (entry) entry.lastRequestMs = now();
    },
    requests: (hostname) => entries.get(hostname.toLowerCase())?.requests ?? 0,
    knows: (hostname) => entries.has(hostname.toLowerCase()),
    handle(request, response) {
      // Caddy's rewrite to /gate keeps the query of the visitor's own request.
      const isQuestion = request.method === "GET" && /^\/gate(\?|$)/.test(request.url ?? "");
      if (!isQuestion) return send(response, { status: 404, text: "Nothing is here.\n" });
      const admitted = admit(request);
      if ("verdict" in admitted) return send(response, answerTo(admitted));
      const decided = decide(admitted, request);
      if (decided) return send(response, answerTo(decided));
      void wait(admitted, request, response).then((verdict) => {
        if (!response.destroyed) send(response, answerTo(verdict));
      });
    },
  };
}
