import { createHash } from "node:crypto";
import type { Caller, Scope } from "./types.ts";

export const MIN_PASSWORD_CHARACTERS = 10;
export const MAX_PASSWORD_CHARACTERS = 128;

interface Limit {
  max: number;
  windowSeconds: number;
}

/** One of the endpoints below /api/auth that exist for the outside, with how often it may be tried. */
export interface AuthDoor {
  /** From one client address, whoever it is about. */
  address: Limit;
  /**
   * About one account: from one address, and from all together. The first is so small that no single address can use up
   * the second and so keep the owner out; the second is what a guess from many addresses runs into.
   */
  account?: { perAddress: Limit; inAll: Limit };
  /** The work begins after the answer, which is the same for everybody: nothing is to be learned from its time. */
  answersFirst?: true;
  /** A success proves that it is the owner, whose earlier mistakes are forgiven. */
  forgives?: true;
}

const MINUTE = 60;
const QUARTER = 15 * MINUTE;
const HOUR = 60 * MINUTE;
const GUESSES = {
  perAddress: { max: 20, windowSeconds: QUARTER },
  inAll: { max: 100, windowSeconds: HOUR },
};
/** Mail that somebody else can cause: enough for a person who finds none, too little to be a nuisance. */
const LETTERS = { perAddress: { max: 4, windowSeconds: HOUR }, inAll: { max: 6, windowSeconds: HOUR } };
const TEN = { address: { max: 10, windowSeconds: MINUTE } };
const OFTEN = { address: { max: 120, windowSeconds: MINUTE } };

/** Everything of better-auth that is open. What is not listed is not there: a door that nobody uses is only a risk. */
const DOORS: Readonly<Record<string, AuthDoor>> = {
  "POST /sign-up/email": { ...TEN, account: LETTERS },
  "POST /sign-in/email": { ...TEN, account: GUESSES, forgives: true },
  "POST /sign-in/social": TEN,
  "GET /callback/google": TEN,
  "GET /callback/github": TEN,
  "POST /sign-out": OFTEN,
  "GET /get-session": OFTEN,
  "POST /confirm-email": TEN,
  "POST /send-verification-email": { ...TEN, account: LETTERS, answersFirst: true },
  "POST /request-password-reset": { ...TEN, account: LETTERS, answersFirst: true },
  "POST /reset-password": TEN,
  "POST /change-password": TEN,
  "POST /update-user": OFTEN,
  "POST /two-factor/enable": TEN,
  "POST /two-factor/disable": TEN,
  "POST /two-factor/verify-totp": TEN,
  "POST /two-factor/verify-backup-code": TEN,
  "POST /two-factor/generate-backup-codes": TEN,
  "GET /passkey/generate-register-options": OFTEN,
  "POST /passkey/verify-registration": TEN,
  "GET /passkey/generate-authenticate-options": OFTEN,
  "POST /passkey/verify-authentication": TEN,
  "POST /passkey/delete-passkey": TEN,
};

export const authDoor = (method: string, path: string): AuthDoor | null => {
  const name = `${method} ${path}`;
  return Object.hasOwn(DOORS, name) ? (DOORS[name] as AuthDoor) : null;
};

export interface Bucket extends Limit {
  key: string;
}

/**
 * What a try counts against, in the order in which it has to be asked: a try that the first group refuses must not count
 * in the second, or one address could fill it alone.
 */
export function bucketsOf(door: AuthDoor, path: string, address: string, account: string | null): [Bucket[], Bucket[]] {
  const from = addressKey(address);
  const own: Bucket[] = [{ key: `address ${path} ${from}`, ...door.address }];
  if (!door.account || account === null) return [own, []];
  own.push({ key: `pair ${path} ${account} ${from}`, ...door.account.perAddress });
  return [own, [{ key: `account ${path} ${account}`, ...door.account.inAll }]];
}

/** Nothing of the address's own count: one account of one's own would reset it at will. */
export const forgivenOf = ([own, all]: [Bucket[], Bucket[]]): Bucket[] => [...own.slice(1), ...all];

/** Whose tries are counted, without the address standing in one more table. */
export const accountKey = (email: string): string => createHash("sha256").update(email).digest("base64url");

/** What a new password forgives: else the guesses of others would keep its owner out with it. */
export const forgivenByReset = (email: string, address: string): Bucket[] => {
  const path = "/sign-in/email";
  return forgivenOf(bucketsOf(DOORS[`POST ${path}`] as AuthDoor, path, address, accountKey(email)));
};

/** An IPv6 customer has at least a /64 to send from: its first half is the address that counts. */
export function addressKey(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped) return mapped[1] as string;
  if (!address.includes(":")) return address;
  const [head = "", tail] = address.toLowerCase().split("::");
  const left = head ? head.split(":") : [];
  const right = tail ? tail.split(":") : [];
  const groups =
    tail === undefined ? left : [...left, ...Array(Math.max(0, 8 - left.length - right.length)).fill("0"), ...right];
  return `${groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ""))
    .join(":")}::/64`;
}

/** Where the sites begin that may say who somebody is: our forms end up there, see form-action. */
export const socialOrigins = (social: { google?: unknown; github?: unknown }): string[] => [
  ...(social.google ? ["https://accounts.google.com"] : []),
  ...(social.github ? ["https://github.com"] : []),
];

const SAFE = new Set(["GET", "HEAD"]);

/** Whether a caller may use the agents' API with this method. */
export const allows = ({ scopes }: Caller, method: string): boolean =>
  scopes === null || scopes.includes(SAFE.has(method) ? "tenants:read" : "tenants:write");

export const KEY_PREFIX = "chk_";
const KEY = /^chk_[A-Za-z0-9_-]{43}$/;
const JWT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const MAX_TOKEN_CHARACTERS = 1_000;

/** What an Authorization header holds, by its shape alone. */
export function bearerOf(authorization: string): { kind: "key" | "jwt"; token: string } | null {
  const token = /^Bearer +(\S+)$/i.exec(authorization)?.[1];
  if (!token || token.length > MAX_TOKEN_CHARACTERS) return null;
  if (KEY.test(token)) return { kind: "key", token };
  return JWT.test(token) ? { kind: "jwt", token } : null;
}

export const scopesOf = (text: string): Scope[] => text.split(" ").filter(Boolean) as Scope[];
