/** What the stand-ins of channels' providers have in common, so that one table of tests asks the same of all. */
export interface Call {
  method: string;
  /** With its query. */
  path: string;
  headers: Headers;
  json: Record<string, unknown>;
}
export interface Reply {
  status: number;
  body: object | null;
  headers?: Record<string, string>;
}

export interface Sent {
  to: string;
  text: string;
}

/** How somebody's words look when they come. */
export interface Written {
  from: string;
  text: string;
  /** What they call themselves. */
  name?: string;
  /** The provider's own for this message; a new one where nothing is said. */
  id?: string;
  /** Where others read along. */
  inGroup?: boolean;
  /** Seconds since the epoch. */
  at?: number;
}

export interface Provider {
  call(call: Call): Promise<Reply>;
  /** The body of a webhook call for that. */
  body(written: Written): string;
  /** Its headers: how the provider proves that the body is its own. `at`: seconds since the epoch. */
  proof(body: string, at: number): Promise<Record<string, string>>;
  /** What people were sent, in order. */
  sent: Sent[];
  /** After so many more calls, so many are too many. */
  busy(calls: number, after?: number): void;
}

/** Whether a call is one too many. */
export function crowd() {
  let [calls, after] = [0, 0];
  return {
    busy(next: number, later = 0): void {
      [calls, after] = [next, later];
    },
    isTooMany(): boolean {
      if (after > 0) after -= 1;
      else if (calls > 0) {
        calls -= 1;
        return true;
      }
      return false;
    },
  };
}

export const utf8 = (text: string) => new TextEncoder().encode(text) as Uint8Array<ArrayBuffer>;
export const hex = (bytes: ArrayBuffer | Uint8Array) =>
  [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");

export async function hmacHex(secret: string, text: string): Promise<string> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", utf8(secret), algorithm, false, ["sign"]);
  return hex(await crypto.subtle.sign("HMAC", key, utf8(text)));
}
