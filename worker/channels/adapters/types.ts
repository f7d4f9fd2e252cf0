import type { Incoming } from "../rules.ts";

/** A request as it came: the bytes are those that were signed. */
export interface Delivered {
  headers: Headers;
  body: Uint8Array<ArrayBuffer>;
  nowMs: number;
}

export type Parsed =
  | { kind: "message"; message: Incoming }
  /** What the provider asks to see that it has reached us. */
  | { kind: "handshake"; answer: object }
  /** Nothing that an agent could be handed. */
  | { kind: "unsupported" }
  | { kind: "malformed" };

export interface Adapter {
  /** Under which name the agent's vault has what proves the provider, and what that is like. */
  proof: { name: string; shape: RegExp };
  /** Whether the provider, and nobody else, sent these bytes (and, where it says when, just now). */
  verify(delivered: Delivered, proof: string): Promise<boolean>;
  parse(body: unknown): Parsed;
}
