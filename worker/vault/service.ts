import type { World } from "../clock.ts";
import type { Database, Statement } from "../db.ts";
import { newSalt, tenantKeys } from "./envelope.ts";
import type { Keyring } from "./rules.ts";
import type { Secret } from "./secret.ts";
import * as store from "./store.ts";

export { createKeyChecks, type KeyChecks } from "./checks.ts";
export { deleteSecret, eraseTenant, listSecrets, markDelivered } from "./store.ts";

export interface Sealing {
  tenantId: string;
  /** Who entered it. */
  by: string;
  at: number;
  values: readonly { name: string; secret: Secret; version: number }[];
}

/** Seals values into rows, and says what their transaction must hold besides. */
export function createVault({ db, world, ring }: { db: Database; world: World; ring: Keyring }) {
  async function rowsUnder(salt: string, { tenantId, by, at, values }: Sealing): Promise<store.SecretRow[]> {
    const keys = tenantKeys(ring, tenantId, salt);
    const seal = async ({ name, secret, version }: Sealing["values"][number]) => ({
      ...{ tenantId, name, version, lastFour: secret.lastFour(), createdAt: at, createdBy: by, deliveredAt: null },
      ...(await keys.seal(secret, { name, version }, world.random)),
    });
    return Promise.all(values.map(seal));
  }
  const statementsOf = (rows: readonly store.SecretRow[]): Statement[] =>
    rows.length === 0
      ? []
      : [...rows.map((row) => store.putSecret(db, row)), store.countWraps(db, ring.current, rows.length)];

  return {
    /** For a tenant that is made in this very transaction. */
    async sealFirst(sealing: Sealing): Promise<{ rows: store.SecretRow[]; statements: Statement[] }> {
      const salt = newSalt(world.random);
      const rows = await rowsUnder(salt, sealing);
      const { tenantId, at } = sealing;
      return { rows, statements: [store.insertSalt(db, { tenantId, salt, createdAt: at }), ...statementsOf(rows)] };
    },

    /** Null when the tenant's salt was destroyed: it is being deleted. */
    async seal(sealing: Sealing): Promise<{ rows: store.SecretRow[]; statements: Statement[] } | null> {
      const salt = await bringSalt(db, world, sealing.tenantId);
      if (salt === null) return null;
      const rows = await rowsUnder(salt, sealing);
      return { rows, statements: statementsOf(rows) };
    },
  };
}
export type Vault = ReturnType<typeof createVault>;

/** The tenant's salt, made now if it is from before there were salts. Two at once end with the same one. */
export async function bringSalt(db: Database, world: World, tenantId: string): Promise<string | null> {
  const known = (await store.readSalt(db, tenantId))[0];
  if (known) return known.salt;
  await store.insertSalt(db, { tenantId, salt: newSalt(world.random), createdAt: world.now() }).onConflictDoNothing();
  return (await store.readSalt(db, tenantId))[0]?.salt ?? null;
}
