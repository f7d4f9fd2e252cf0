import type { Context, ErrorHandler, MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import { HTTPException } from "hono/http-exception";
import { problem, problemResponse } from "./problem.ts";
import type { Background } from "./tenants/types.ts";

export const MAX_BODY_BYTES = 64 * 1024;
const UNSAFE = new Set(["POST", "PUT", "PATCH", "DELETE"]);

/** Counts while reading: a length that the client states is not believed. */
export const limitedBody: MiddlewareHandler = bodyLimit({
  maxSize: MAX_BODY_BYTES,
  onError: () => problemResponse(problem("body_too_large")),
});

/**
 * Headers of every answer. No inline script or style anywhere, so injected markup cannot run; no framing, so nobody
 * can dress a page of ours as their own; private by default, so no cache keeps what a session saw.
 */
export function browserSafety({
  formTargets,
  https,
}: {
  /** Where a form of ours may end up: browsers hold its redirect to the same rule. */
  formTargets: readonly string[];
  https: boolean;
}): MiddlewareHandler {
  const policy = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    `form-action 'self' ${formTargets.join(" ")}`,
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ].join("; ");
  return async (c, next) => {
    await next();
    const { headers } = c.res;
    headers.set("content-security-policy", policy);
    headers.set("x-content-type-options", "nosniff");
    headers.set("referrer-policy", "strict-origin-when-cross-origin");
    headers.set("cross-origin-opener-policy", "same-origin");
    headers.set("cross-origin-resource-policy", "same-origin");
    headers.set("permissions-policy", "camera=(), microphone=(), geolocation=(), payment=()");
    if (https) headers.set("strict-transport-security", "max-age=63072000; includeSubDomains");
    if (!headers.has("cache-control")) headers.set("cache-control", "no-store");
  };
}

/**
 * For what is the same for everybody: where a page says something of one person and something that a stranger chose,
 * its length would tell of the first (BREACH). The runtime itself compresses what is labelled so.
 */
export const compressed: MiddlewareHandler = async (c, next) => {
  await next();
  if (!/\bgzip\b/.test(c.req.header("accept-encoding") ?? "") || c.res.body === null) return;
  c.res.headers.set("content-encoding", "gzip");
  c.res.headers.append("vary", "accept-encoding");
};

/**
 * Refuses what another site made the browser send. Browsers put Origin on every unsafe request; a client without one
 * is let through only when it carries no cookie, since then there is nothing to be misused.
 */
export function sameOriginOnly(ownOrigin: string): MiddlewareHandler {
  return async (c, next) => {
    if (!UNSAFE.has(c.req.method)) return next();
    const origin = c.req.header("origin");
    const allowed = origin === undefined ? c.req.header("cookie") === undefined : origin === ownOrigin;
    return allowed ? next() : problemResponse(problem("csrf_refused"));
  };
}

/** For the JSON API: a form cannot post this type across sites, and a wrong type is said before it is parsed. */
export const jsonOnly: MiddlewareHandler = async (c, next) => {
  const type = c.req.header("content-type");
  const isJson = type !== undefined && /^application\/json\s*(;|$)/i.test(type);
  // Actions such as start take no body and need no type.
  const bodyless = type === undefined && (c.req.header("content-length") ?? "0") === "0";
  if (!UNSAFE.has(c.req.method) || isJson || bodyless) return next();
  return problemResponse(problem("unsupported_media_type"));
};

/** Bytes that are no UTF-8 would be replaced while the body is read, and something else would be stored than was sent. */
export const utf8Only: MiddlewareHandler = async (c, next) => {
  if (UNSAFE.has(c.req.method)) {
    try {
      new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await c.req.arrayBuffer());
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      return problemResponse(problem("invalid_body", { detail: "The body is not UTF-8." }));
    }
  }
  return next();
};

/** The fields of a posted form. A body that is no form is the sender's mistake, not ours. */
export async function readForm(c: Context, options: { all?: boolean } = {}): Promise<Record<string, unknown>> {
  try {
    return await c.req.parseBody(options);
  } catch (error) {
    throw error instanceof TypeError ? new HTTPException(400, { cause: error }) : error;
  }
}

class TooLarge extends Error {
  override name = "TooLarge";
}

/** Throws beyond the limit, while reading: whoever sends must not fill our memory. */
export async function readLimitedBytes(
  message: Request | Response,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of message.body ?? []) {
    length += chunk.byteLength;
    if (length > maxBytes) throw new TooLarge();
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}

/** The same, as text. */
export const readLimited = async (message: Request | Response, maxBytes: number): Promise<string> =>
  new TextDecoder().decode(await readLimitedBytes(message, maxBytes));

/** One last answer for whatever went wrong: the log gets the error's own text, the caller never does. */
export const lastResort: ErrorHandler = (error) => {
  if (error instanceof HTTPException && error.status === 400) return problemResponse(problem("invalid_body"));
  if (error instanceof TooLarge || error.name === "BodyLimitError") return problemResponse(problem("body_too_large"));
  console.error(JSON.stringify({ event: "unexpected", error: describeError(error) }));
  return problemResponse(problem("internal"));
};

/** A failed query's parameters stand at the end of its message, and may be secret. */
export const withoutParameters = (message: string): string => message.split("\nparams:")[0] ?? "";

/** Name and message of an error and its causes, without what a query was given. */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  for (let it = error; it instanceof Error && parts.length < 4; it = it.cause) {
    parts.push(`${it.name}: ${withoutParameters(it.message)}`.slice(0, 500));
  }
  return parts.join(" ← ") || "not an Error";
}

/** The same work, whose failure is logged and goes no further. */
export const logFailure = (work: Promise<unknown>): Promise<unknown> =>
  work.catch((error) => console.error(JSON.stringify({ event: "background", error: describeError(error) })));

/** Keeps work alive after the answer. Its failure is logged: the outbox, not this promise, is what must not be lost. */
export function backgroundOf(c: Context): Background {
  return (work) => {
    const logged = logFailure(work);
    try {
      c.executionCtx.waitUntil(logged);
    } catch {
      // Outside a Worker's event there is nothing to wait for.
    }
  };
}
