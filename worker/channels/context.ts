import type { Delivery } from "../access/index.ts";
import type { World } from "../clock.ts";
import type { Database, Statement } from "../db.ts";
import type { Config } from "../env.ts";
import type { Post } from "../mail/index.ts";
import type { CallTo } from "./adapters/index.ts";

/** What this room's parts share. */
export interface ChannelsContext {
  db: Database;
  world: World;
  config: Pick<Config, "dashboardOrigin" | "tenants" | "vaultKeys" | "providersAt">;
  /** Reaches the hosts. */
  fetch: typeof fetch;
  /** Reaches the providers. */
  call: CallTo;
  post: Pick<Post, "posting">;
  /** For the door of one agent. */
  deliveryToken(delivery: Delivery): Promise<string>;
  hosts: {
    announce(row: { hostId: string; tenantId: string; generation: number }): Statement;
    deliver(tenantId: string): Promise<void>;
  };
}
