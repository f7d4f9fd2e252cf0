import { and, eq, inArray } from "drizzle-orm";
import { secrets, tenantSalts } from "../../schema/db/index.ts";
import type { ChannelName } from "../../schema/protocol/index.ts";
import type { Database } from "../db.ts";
import { type Keyring, tenantKeys } from "../vault/index.ts";
import { ADAPTERS } from "./adapters/index.ts";
import { MESSAGE_KEY } from "./rules.ts";
import { type MessageKeys, messageKeys } from "./seal.ts";

export interface ChannelKeys {
  /** What proves the provider. */
  proof: string;
  /** Null where the owner has removed it. */
  token: string | null;
  messages: MessageKeys;
}

/** Sealed rows of one agent, to be read in the same batch as the rest. */
export const sealedRows = (db: Database, tenantId: string, kind: ChannelName) =>
  [
    db
      .select()
      .from(secrets)
      .where(
        and(
          eq(secrets.tenantId, tenantId),
          inArray(secrets.name, [MESSAGE_KEY, ADAPTERS[kind].proof.name, ADAPTERS[kind].token]),
        ),
      ),
    db.select({ salt: tenantSalts.salt }).from(tenantSalts).where(eq(tenantSalts.tenantId, tenantId)),
  ] as const;

/** Null when the vault cannot open them: the agent is being deleted, or its rows are broken. */
export async function channelKeys(db: Database, ring: Keyring, about: { tenantId: string; kind: ChannelName }) {
  const [rows, salts] = await db.batch(sealedRows(db, about.tenantId, about.kind));
  const vault = tenantKeys(ring, about.tenantId, salts[0]?.salt ?? null);
  const open = async (name: string): Promise<string | null> => {
    const row = rows.find((one) => one.name === name);
    const opened = row && (await vault.open(row, row));
    return opened?.ok ? opened.secret.reveal() : null;
  };
  const [key, proof, token] = await Promise.all(
    [MESSAGE_KEY, ADAPTERS[about.kind].proof.name, ADAPTERS[about.kind].token].map(open),
  );
  if (!key || !proof) return null;
  return { proof, token: token ?? null, messages: await messageKeys(key) } satisfies ChannelKeys;
}
