import { and, asc, count, gte, inArray, isNotNull, ne, or, sql } from "drizzle-orm";
import { audit, secrets, tenantSalts, vaultWraps } from "../../schema/db/index.ts";
import type { World } from "../clock.ts";
import { atomically, type Database } from "../db.ts";
import { FORMAT, fingerprintOf, newSalt, tenantKeys } from "./envelope.ts";
import { type Keyring, WRAP_LIMIT, WRAP_WARNING } from "./rules.ts";
import { countWraps, type SecretRow } from "./store.ts";

export interface VaultContext {
  db: Database;
  world: World;
  ring: Keyring;
}

/** The last row that was looked at; tenant and name, in that order. */
export type Cursor = readonly [tenantId: string, name: string];

export interface Pass {
  /** Rows that were done, each checked on the way. */
  done: number;
  unreadable: Cursor[];
  /** Where the next pass begins; null when there is nothing after it. */
  next: Cursor | null;
}

/**
 * Rewraps the next rows that are not under the ring's current key, all in one transaction. A row that its owner changes
 * meanwhile is left alone: it is under the current key already. Ended anywhere, the same call goes on; a row is always
 * whole under the old key or the new one, so reads go on throughout.
 */
export async function sweep(context: VaultContext, { after, limit }: { after: Cursor | null; limit: number }) {
  const { db, world, ring } = context;
  const stale = or(ne(secrets.keyVersion, ring.current), ne(secrets.format, FORMAT));
  const rows = await db
    .select()
    .from(secrets)
    .where(and(stale, beyond(after)))
    .orderBy(...ORDER)
    .limit(limit);
  const keysOf = await keysFor(context, rows, true);
  const changes: object[] = [];
  const unreadable: Cursor[] = [];
  for (const row of rows) {
    const rewrapped = await keysOf(row.tenantId).rewrap(row, row, world.random);
    if (rewrapped.ok) changes.push({ ...row, ...rewrapped.envelope, was: row.wrappedKey });
    else unreadable.push([row.tenantId, row.name]);
  }
  if (changes.length > 0) {
    const detail = JSON.stringify({ to: ring.current, rewrapped: changes.length, unreadable: unreadable.length });
    await atomically(db, [
      rewrite(db, changes),
      countWraps(db, ring.current, changes.length),
      db.insert(audit).values({ at: world.now(), actor: "operator", action: "vault.sweep", subject: "vault", detail }),
    ]);
  }
  return passOf(rows, limit, { done: changes.length, unreadable });
}

/** Opens the next rows, whatever key they are under, and shows nobody what is in them. */
export async function verify(context: VaultContext, { after, limit }: { after: Cursor | null; limit: number }) {
  const { db } = context;
  const rows = await db
    .select()
    .from(secrets)
    .where(beyond(after))
    .orderBy(...ORDER)
    .limit(limit);
  const keysOf = await keysFor(context, rows, false);
  const unreadable: Cursor[] = [];
  for (const row of rows) {
    if (!(await keysOf(row.tenantId).open(row, row)).ok) unreadable.push([row.tenantId, row.name]);
  }
  return passOf(rows, limit, { done: rows.length - unreadable.length, unreadable });
}

const ORDER = [asc(secrets.tenantId), asc(secrets.name)];
const beyond = (after: Cursor | null) =>
  after === null ? undefined : sql`(${secrets.tenantId}, ${secrets.name}) > (${after[0]}, ${after[1]})`;

function passOf(rows: readonly SecretRow[], limit: number, seen: Omit<Pass, "next">): Pass {
  const last = rows.length < limit ? undefined : rows.at(-1);
  return { ...seen, next: last ? [last.tenantId, last.name] : null };
}

/** One statement for all rows. Each is hit only while it is what was read. */
const rewrite = (db: Database, changes: readonly object[]) =>
  db.run(sql`update secrets set
      format = change.value ->> 'format', key_version = change.value ->> 'keyVersion',
      key_commitment = change.value ->> 'keyCommitment', wrap_nonce = change.value ->> 'wrapNonce',
      wrapped_key = change.value ->> 'wrappedKey', nonce = change.value ->> 'nonce',
      ciphertext = change.value ->> 'ciphertext'
    from json_each(${JSON.stringify(changes)}) as change
    where secrets.tenant_id = change.value ->> 'tenantId' and secrets.name = change.value ->> 'name'
      and secrets.version = change.value ->> 'version' and secrets.wrapped_key = change.value ->> 'was'`);

async function keysFor({ db, world, ring }: VaultContext, rows: readonly SecretRow[], makeMissing: boolean) {
  const ids = [...new Set(rows.map(({ tenantId }) => tenantId))];
  const read = async () => {
    const known = ids.length > 0 ? await db.select().from(tenantSalts).where(inArray(tenantSalts.tenantId, ids)) : [];
    return new Map(known.map(({ tenantId, salt }) => [tenantId, salt]));
  };
  let salts = await read();
  const missing = ids.filter((id) => !salts.has(id));
  if (makeMissing && missing.length > 0) {
    const createdAt = world.now();
    const fresh = missing.map((tenantId) => ({ tenantId, salt: newSalt(world.random), createdAt }));
    await db.insert(tenantSalts).values(fresh).onConflictDoNothing();
    salts = await read();
  }
  const made = new Map(ids.map((id) => [id, tenantKeys(ring, id, salts.get(id) ?? null)]));
  return (tenantId: string) => made.get(tenantId) ?? tenantKeys(ring, tenantId, null);
}

export interface VaultStatus {
  current: number;
  floor: number;
  /** Every version that the ring holds or a row names. A fingerprint is null where the ring has no such key. */
  keys: { version: number; fingerprint: string | null; secrets: number; wraps: number; erased: number }[];
  /** Secrets that the sweep has still to make anew: under an older key, or of an older format. */
  stale: number;
  warnings: string[];
}

export async function vaultStatus({ db, ring }: VaultContext): Promise<VaultStatus> {
  const [byKey, [old], wraps, erased] = await db.batch([
    db.select({ version: secrets.keyVersion, n: count() }).from(secrets).groupBy(secrets.keyVersion),
    db
      .select({ n: count() })
      .from(secrets)
      .where(or(ne(secrets.keyVersion, ring.current), ne(secrets.format, FORMAT))),
    db.select().from(vaultWraps),
    db
      .select({ version: tenantSalts.erasedUnder, n: count() })
      .from(tenantSalts)
      .where(isNotNull(tenantSalts.erasedUnder))
      .groupBy(tenantSalts.erasedUnder),
  ]);
  const versions = [...new Set([...ring.keys.keys(), ...byKey.map(({ version }) => version)])].sort((a, b) => a - b);
  const keys = await Promise.all(
    versions.map(async (version) => {
      const bytes = ring.keys.get(version);
      return {
        version,
        fingerprint: bytes ? await fingerprintOf(bytes) : null,
        secrets: byKey.find((row) => row.version === version)?.n ?? 0,
        wraps: wraps.find(({ keyVersion }) => keyVersion === version)?.wraps ?? 0,
        erased: erased.find((row) => row.version === version)?.n ?? 0,
      };
    }),
  );
  return { current: ring.current, floor: ring.floor, keys, stale: old?.n ?? 0, warnings: warningsOf(keys, ring) };
}

function warningsOf(keys: VaultStatus["keys"], ring: Keyring): string[] {
  return keys.flatMap(({ version, fingerprint, secrets: held, wraps }) => {
    const warnings: string[] = [];
    if (held > 0 && fingerprint === null)
      warnings.push(`${held} secrets are under key ${version}, which is not there.`);
    else if (held > 0 && version < ring.floor)
      warnings.push(`${held} secrets are under key ${version}, below the floor.`);
    if (wraps >= WRAP_WARNING) {
      warnings.push(`Key ${version} has wrapped ${wraps} times of at most ${WRAP_LIMIT}: rotate it.`);
    }
    return warnings;
  });
}

/** For the clock: what an operator should hear long before it is too late, without asking. */
export async function warnOfWraps({ db }: VaultContext): Promise<void> {
  for (const { keyVersion, wraps } of await db.select().from(vaultWraps).where(gte(vaultWraps.wraps, WRAP_WARNING))) {
    console.warn(JSON.stringify({ event: "vault_rotate_soon", keyVersion, wraps, limit: WRAP_LIMIT }));
  }
}
