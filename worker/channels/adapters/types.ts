import type { Incoming } from "../rules.ts";
import type { Call, Told } from "./outside.ts";

/** A request as it came: the bytes are those that were signed. */
export interface Delivered {
  headers: Headers;
  body: Uint8Array<ArrayBuffer>;
  nowMs: number;
}

/** `sentAt` null: its provider does not say when. */
export type Spoken = Omit<Incoming, "sentAt"> & { sentAt: number | null };

export type Parsed =
  | { kind: "messages"; messages: readonly [Spoken, ...Spoken[]] }
  /** What the provider asks to see that it has reached us. */
  | { kind: "handshake"; answer: object }
  /** Whom an answer did not reach that was taken at first. */
  | { kind: "unanswered"; people: readonly string[] }
  /** Nobody's word: a receipt, or what the bot itself has said. */
  | { kind: "nothing" }
  /** Nothing that an agent could be handed. */
  | { kind: "unsupported" }
  | { kind: "malformed" };

/** What an owner types to connect a bot. */
export interface Typed {
  token: string;
  secret: string;
  account: string;
}

/** Who a token is, by its provider's own word. */
export interface Identity {
  /** Among all of this provider's, for good. */
  accountId: string;
  /** What people look for. */
  account: string;
  /** What proves the provider, where it says so itself. */
  proof?: string;
}

/** One part of an answer, on its way to the very conversation that it answers. */
export interface Part {
  token: string;
  accountId: string;
  conversation: string;
  /** What came with the message to answer it by, as {@link Incoming} has it. */
  reply: string | null;
  text: string;
  /** 0 is the first. */
  part: number;
}

/** One provider: how it proves itself, what it says, and how it is answered. */
export interface Adapter {
  /** As people call it. */
  label: string;
  origin: string;
  /** Under which name the agent's vault has what proves the provider, and what that is like. */
  proof: { name: string; shape: RegExp; hint: string };
  /** Under which name it has what lets us speak as the bot. */
  token: string;
  /** What its owner types besides the token. */
  asks: readonly ("secret" | "account")[];
  /** Of one message, in UTF-16 units. */
  maxCharacters: number;

  /** Whether the provider, and nobody else, sent these bytes (and, where it says when, just now). */
  verify(delivered: Delivered, proof: string): Promise<boolean>;
  /** What it signs does not say when it was sent, but for the message's own time. */
  signsNoTime?: true;
  /** `accountId`: of the bot that this address is for; what is for another is `unsupported`. */
  parse(body: unknown, accountId: string): Parsed;
  /** What it hears at once where an answer will follow; absent: nothing but 200. */
  promise?: object;
  /** A word that the provider shows, by GET, to see that the address is ours; absent: it has no such question. */
  word?(proof: string, channelId: string): string;

  identify(call: Call, typed: Typed): Promise<Told<Identity>>;
  /** Has it send here; null: its owner says so at the provider's own pages. */
  register: ((call: Call, to: Registration) => Promise<Told<unknown>>) | null;
  unregister(call: Call, token: string): Promise<unknown>;
  /** Plain text: an agent's words are never the provider's markup, and mention nobody. */
  send(call: Call, part: Part): Promise<Told<unknown>>;
}

export interface Registration {
  token: string;
  accountId: string;
  url: string;
  proof: string;
}
