import { z } from "zod";

export type Role = "person" | "operator";

/** Someone with a live session, or whoever holds a key of theirs. */
export interface Person {
  id: string;
  email: string;
  name: string;
  role: Role;
  /** Of the session, or of the API key. It ends when that ends. */
  sessionId: string;
}

/** What an API key or a token may be good for. */
export const SCOPES = ["tenants:read", "tenants:write", "agents:open"] as const;
export const scope = z.enum(SCOPES);
export type Scope = z.infer<typeof scope>;

/** Who sends `Authorization: Bearer …`, and how far that reaches. */
export interface Holder {
  userId: string;
  scopes: readonly Scope[];
  expiresAtMs: number;
  /** The row that the credential lives by: when it goes, so does the credential. */
  grant: { kind: "key" | "session"; id: string };
}

/** Whoever calls the API. `scopes` is null for a person in their own session, who may do everything. */
export interface Caller {
  person: Person;
  scopes: readonly Scope[] | null;
}
