import type { z } from "zod";
import { readLimited } from "../../http.ts";

const TIMEOUT_MS = 5_000;
const MAX_ANSWER_BYTES = 256 * 1024;
const BUSY_SECONDS = 30;

/** A provider's own words for what went wrong, as far as they change what we do. */
export type Failure =
  | { why: "wrong_token" }
  | { why: "busy"; retryAfterSeconds: number }
  | { why: "refused" }
  | { why: "unreachable" };
export type Told<T> = { ok: true; result: T } | ({ ok: false } & Failure);

export interface Asked {
  method?: "GET" | "POST" | "PATCH";
  path: string;
  headers?: Readonly<Record<string, string>>;
  json?: object;
}
/** Null: nobody answered. */
export type Call = (asked: Asked) => Promise<{ status: number; body: unknown; retryAfterSeconds: number } | null>;

/** `origin`: the provider's, or in trials its stand-in's. A token may stand in the URL, so no error's text leaves here. */
export const callAt =
  (fetch: typeof globalThis.fetch, origin: string): Call =>
  async ({ method = "POST", path, headers = {}, json }) => {
    try {
      const response = await fetch(`${origin}${path}`, {
        method,
        headers: { ...headers, ...(json && { "content-type": "application/json" }) },
        ...(json && { body: JSON.stringify(json) }),
        // A redirect would carry the token to whoever it names.
        redirect: "manual",
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      const text = await readLimited(response, MAX_ANSWER_BYTES);
      const seconds = Number(response.headers.get("retry-after"));
      const retryAfterSeconds = seconds >= 1 && seconds <= 86_400 ? Math.ceil(seconds) : BUSY_SECONDS;
      return { status: response.status, body: text === "" ? null : JSON.parse(text), retryAfterSeconds };
    } catch {
      return null;
    }
  };

/** What an answer means; `own` says first what is this provider's own way. */
export function told<T>(
  answer: Awaited<ReturnType<Call>>,
  shape: z.ZodType<T>,
  own: (body: unknown, status: number) => Failure | null = () => null,
): Told<T> {
  if (answer === null) return { ok: false, why: "unreachable" };
  const { status, body, retryAfterSeconds } = answer;
  const failure = own(body, status);
  if (failure) return { ok: false, ...failure };
  if (status === 429) return { ok: false, why: "busy", retryAfterSeconds };
  if (status === 401) return { ok: false, why: "wrong_token" };
  if (status >= 500) return { ok: false, why: "unreachable" };
  const good = status >= 200 && status < 300 ? shape.safeParse(body) : undefined;
  return good?.success ? { ok: true, result: good.data } : { ok: false, why: "refused" };
}
