import { MAX_PASSWORD_CHARACTERS, MIN_PASSWORD_CHARACTERS } from "./rules.ts";

export type Field = "email" | "password" | "name" | "newPassword" | "code";

/** Why better-auth or we refused, as a form says it. `code` is stable; what is not in the table says nothing. */
export interface Refusal {
  code: string;
  field?: Field;
  message: string;
}

const WRONG_CODE = { field: "code", message: "This code is wrong or has been used. Take the next one." } as const;
const AGAIN = "That took too long. Please sign in again.";

/** Sign-in never says which of the two was wrong. */
const WORDS: Readonly<Record<string, { field?: Field; message: string }>> = {
  INVALID_EMAIL: { field: "email", message: "This is not an e-mail address." },
  PASSWORD_TOO_SHORT: { field: "password", message: `Use at least ${MIN_PASSWORD_CHARACTERS} characters.` },
  PASSWORD_TOO_LONG: { field: "password", message: `Use at most ${MAX_PASSWORD_CHARACTERS} characters.` },
  INVALID_EMAIL_OR_PASSWORD: { message: "E-mail address or password is wrong." },
  INVALID_PASSWORD: { field: "password", message: "This password is wrong." },
  INVALID_TOKEN: { message: "This link is not valid, or it is too old. Ask for a new one." },
  EMAIL_NOT_VERIFIED: { message: "Please confirm your address first: the link is in your mail." },
  EMAIL_ALREADY_VERIFIED: { message: "This address is confirmed already. Please sign in." },
  ACCOUNT_SUSPENDED: { message: "This account is suspended. Please write to us." },
  INVALID_CODE: WRONG_CODE,
  INVALID_BACKUP_CODE: WRONG_CODE,
  INVALID_TWO_FACTOR_COOKIE: { message: AGAIN },
  TOO_MANY_ATTEMPTS_REQUEST_NEW_CODE: { message: AGAIN },
  ACCOUNT_TEMPORARILY_LOCKED: { message: "Too many wrong codes. Wait a quarter of an hour, or use a passkey." },
  SESSION_NOT_FRESH: { message: "Please sign in again first: this needs a sign-in within the last half hour." },
};

export function refusalOf(code: string): Refusal {
  const words = Object.hasOwn(WORDS, code) ? WORDS[code] : undefined;
  return { code, ...(words ?? { message: "This could not be accepted. Check what you typed." }) };
}

export function tooOften(seconds: number): Refusal {
  const wait = seconds < 90 ? `${seconds} seconds` : `${Math.ceil(seconds / 60)} minutes`;
  return { code: "rate_limited", message: `Too many attempts. Wait ${wait} and try again.` };
}
