import type { Context } from "hono";
import type { Person } from "../accounts/types.ts";
import type { Background, TenantService } from "../tenants/types.ts";

export type { Person } from "../accounts/types.ts";
export type { Problem, ProblemCode, Result } from "../problem.ts";
export type { Background, TenantAction, TenantEvent, TenantService, TenantView } from "../tenants/types.ts";

/** `headers` carries the Set-Cookie of the new session: append them to the answer. */
export type CredentialAnswer =
  | { ok: true; headers: Headers }
  | { ok: false; field?: "email" | "password" | "name"; message: string };

/** What the pages need; `index.ts` wires it. */
export interface PageDeps {
  person(c: Context): Promise<Person | null>;
  accounts: {
    signUp(c: Context, input: { name: string; email: string; password: string }): Promise<CredentialAnswer>;
    signIn(c: Context, input: { email: string; password: string }): Promise<CredentialAnswer>;
    /** Ends the session at once, everywhere; the headers clear the cookie. */
    signOut(c: Context): Promise<Headers>;
  };
  tenants: TenantService;
  /** To be passed to `create` and `act`: keeps the delivery alive after the answer. */
  background(c: Context): Background;
  /** What follows an agent's name, with the dot: `.agents.localhost`. */
  tenantDomain: string;
  /** For the CSP's form-action: `http://*.agents.localhost:8080`. */
  tenantOrigin: string;
}
