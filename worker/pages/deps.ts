import type { Context } from "hono";
import type { Accounts } from "../accounts/index.ts";
import type { Person } from "../accounts/types.ts";
import type { BillingService } from "../billing/types.ts";
import type { ChannelsService } from "../channels/types.ts";
import type { DataRoom, DataService, ReceiptLine } from "../data/index.ts";
import type { Letter } from "../mail/index.ts";
import type { FullTenantService } from "../tenants/service.ts";
import type { Background, TenantService } from "../tenants/types.ts";
import type { KeysPort } from "./secrets.tsx";

export type { Acted, ApiKeyView, Security } from "../accounts/index.ts";
export type { Person, Scope } from "../accounts/types.ts";
export type { Letter } from "../mail/index.ts";
export type { Problem, ProblemCode, Result } from "../problem.ts";
export type { Background, TenantAction, TenantEvent, TenantService, TenantView } from "../tenants/types.ts";

/** Another site that may say who somebody is. */
export type SocialSite = "google" | "github";

/** What the pages need; `index.ts` wires it. */
export interface PageDeps {
  person(c: Context): Promise<Person | null>;
  accounts: Pick<Accounts, "act" | "security" | "confirmAgain" | "endSessions" | "createKey" | "dropKey">;
  social: readonly SocialSite[];
  /** Mail that did not leave, on a developer's machine; null everywhere else. */
  mailbox: ((to: string | null) => Promise<Letter[]>) | null;
  /** Of this very site, for the mailbox: another name that leads here is somebody's trick. */
  ownHost: string;
  tenants: TenantService & Pick<FullTenantService, "upgrade">;
  billing: BillingService;
  keys: KeysPort;
  channels: ChannelsService;
  data: Pick<DataService, "storage" | "backup" | "restore">;
  /** Deletes the whole account; {@link DataRoom}. */
  leave: DataRoom["leave"];
  /** Of deleted agents, newest first. */
  receipts(person: Person): Promise<ReceiptLine[]>;
  /** To be passed to `create` and `act`: keeps the delivery alive after the answer. */
  background(c: Context): Background;
  /** What follows an agent's name, with the dot: `.agents.localhost`. */
  tenantDomain: string;
  /** For the CSP's form-action: `http://*.agents.localhost:8080`. */
  tenantOrigin: string;
}
