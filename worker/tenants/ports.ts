import type { RuntimeName } from "../../schema/protocol/index.ts";
import type { Limits } from "../accounts/index.ts";
import type { World } from "../clock.ts";
import type { Database, Statement } from "../db.ts";
import type { TenantOrigins } from "../env.ts";
import type { Keyring } from "../vault/rules.ts";
import type { TenantRow } from "./rules.ts";
import type { commandsViewOf } from "./view.ts";

type Ledger = Parameters<typeof commandsViewOf>[0];

interface Wish {
  runtime: RuntimeName;
  plan: string;
  /** Null: wherever there is room. */
  region: string | null;
}

/** What this room needs of the hosts' room. */
export interface HostsPort {
  /** A host with room for one more, or null. */
  place(wish: Wish): Promise<string | null>;
  /** Fails the transaction when the host has become too full meanwhile. */
  takeRoom(hostId: string, wish: Wish): Statement[];
  /** Who of these cannot have this plan where they are, by id; see the hosts' room. */
  crowded(rows: readonly TenantRow[], plan: string): Promise<ReadonlySet<string>>;
  /** Fails the transaction when there is no room any more for those who grow. */
  keepPromises(rows: readonly TenantRow[], plan: string): Statement[];
  /** Tells the operator that there was no place. */
  sentAway(wish: Pick<Wish, "runtime" | "region">): Promise<void>;
  /** What the hosts of a tenant have accepted about it. */
  ledgerOf(tenantId: string): Promise<Ledger>;
  /** Where there are hosts that take agents. */
  regions(): Promise<string[]>;
  /** The outbox row. */
  announce(row: { hostId: string; tenantId: string; generation: number }): Statement;
  /** Brings the newest word about a tenant to its host; the outbox repeats what fails. */
  deliver(tenantId: string): Promise<void>;
}

/** What this room needs of the billing room. */
export interface AllowancePort {
  /** What an account gives its agents now. `still` fails the transaction when that has changed since. */
  allowanceOf(ownerId: string): Promise<{ plan: string; tenants: number; still: Statement[] }>;
}

/** What this room needs of the inbox. */
export interface ChannelsPort {
  /** While its keys are still there: what tells its bot, once they are not, that nobody listens any more. */
  goodbye(tenantId: string): Promise<() => Promise<unknown>>;
}

export interface TenantServiceOptions {
  db: Database;
  world: World;
  ring: Keyring;
  origins: TenantOrigins;
  /** No plan lifts this. */
  maxTenantsPerOwner: number;
  /** Null: nobody counts how often. */
  limits: Pick<Limits, "take"> | null;
  /** For how long a deletion can be taken back; 0: it begins at once. */
  undoMs: number;
  hosts: HostsPort;
  billing: AllowancePort;
  channels?: ChannelsPort;
}
