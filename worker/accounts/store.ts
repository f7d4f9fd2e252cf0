import { and, asc, desc, eq, gt, isNotNull, lt, ne, sql } from "drizzle-orm";
import { account, apiKeys, audit, passkey, session, twoFactor, user, verification } from "../../schema/db/index.ts";
import { atomically, changedOne, type Database, insist, isGuardFailure, type Statement } from "../db.ts";
import { scopesOf } from "./rules.ts";
import type { Person, Role, Scope } from "./types.ts";

const UNCONFIRMED_KEPT_MS = 7 * 24 * 3_600_000;
export const MAX_KEYS = 20;

export interface SessionView {
  id: string;
  /** ISO 8601. */
  createdAt: string;
  expiresAt: string;
  address: string | null;
  browser: string | null;
  current: boolean;
}

export interface ApiKeyView {
  id: string;
  name: string;
  /** First characters of the key. */
  hint: string;
  scopes: Scope[];
  createdAt: string;
  expiresAt: string;
}

export interface PasskeyView {
  id: string;
  name: string;
  createdAt: string | null;
}

/** How somebody can get in, for their own eyes. */
export interface Security {
  sessions: SessionView[];
  passkeys: PasskeyView[];
  keys: ApiKeyView[];
  /** False for somebody who came through another site and never chose one. */
  hasPassword: boolean;
  twoFactor: boolean;
}

const iso = (at: number | Date) => new Date(at).toISOString();

export async function readSecurity(db: Database, { id, sessionId }: Person, nowMs: number): Promise<Security> {
  const [sessions, passkeys, keys, passwords, factors] = await db.batch([
    db
      .select()
      .from(session)
      .where(and(eq(session.userId, id), gt(session.expiresAt, new Date(nowMs))))
      .orderBy(desc(session.updatedAt)),
    db.select().from(passkey).where(eq(passkey.userId, id)).orderBy(asc(passkey.createdAt)),
    db.select().from(apiKeys).where(eq(apiKeys.userId, id)).orderBy(desc(apiKeys.createdAt)),
    db
      .select({ id: account.id })
      .from(account)
      .where(and(eq(account.userId, id), isNotNull(account.password))),
    db
      .select({ id: twoFactor.id })
      .from(twoFactor)
      .where(and(eq(twoFactor.userId, id), eq(twoFactor.verified, true))),
  ]);
  return {
    sessions: sessions.map((row) => ({
      id: row.id,
      createdAt: iso(row.createdAt),
      expiresAt: iso(row.expiresAt),
      address: row.ipAddress || null,
      browser: row.userAgent || null,
      current: row.id === sessionId,
    })),
    passkeys: passkeys.map((row) => ({
      id: row.id,
      name: row.name ?? "Passkey",
      createdAt: row.createdAt && iso(row.createdAt),
    })),
    keys: keys.map(keyView),
    hasPassword: passwords.length > 0,
    twoFactor: factors.length > 0,
  };
}

export const keyView = (row: typeof apiKeys.$inferSelect): ApiKeyView => ({
  id: row.id,
  name: row.name,
  hint: row.hint,
  scopes: scopesOf(row.scopes),
  createdAt: iso(row.createdAt),
  expiresAt: iso(row.expiresAt),
});

/** Ends one session of this person, or with null all but the one at hand. Ending what has ended is success. */
export async function endSessions(db: Database, { id, sessionId }: Person, which: string | null): Promise<void> {
  const chosen = which === null ? ne(session.id, sessionId) : eq(session.id, which);
  await db.delete(session).where(and(eq(session.userId, id), chosen));
}

export async function sessionAge(db: Database, { sessionId }: Person, nowMs: number): Promise<number> {
  const [row] = await db.select({ at: session.createdAt }).from(session).where(eq(session.id, sessionId));
  return row ? nowMs - row.at.getTime() : Number.POSITIVE_INFINITY;
}

/** False when this person has as many keys as anybody may have. */
export async function saveKey(db: Database, row: typeof apiKeys.$inferInsert): Promise<boolean> {
  const held = sql`(select count(*) from ${apiKeys} where ${apiKeys.userId} = ${row.userId})`;
  const { id, userId, name, hash, hint, scopes, createdAt, expiresAt } = row;
  const insert = sql`insert into ${apiKeys} (id, user_id, name, hash, hint, scopes, created_at, expires_at)
        select ${id}, ${userId}, ${name}, ${hash}, ${hint}, ${scopes}, ${createdAt}, ${expiresAt} where ${held} < ${MAX_KEYS}`;
  try {
    await atomically(db, [db.run(insert), insist(db, changedOne)]);
    return true;
  } catch (error) {
    if (isGuardFailure(error)) return false;
    throw error;
  }
}

export async function dropKey(db: Database, person: Person, id: string): Promise<void> {
  await db.delete(apiKeys).where(and(eq(apiKeys.userId, person.id), eq(apiKeys.id, id)));
}

export interface PersonRow {
  id: string;
  email: string;
  name: string;
  role: Role;
  confirmed: boolean;
  suspendedAt: string | null;
  createdAt: string;
}

const personRow = (row: typeof user.$inferSelect): PersonRow => ({
  id: row.id,
  email: row.email,
  name: row.name,
  role: row.role as Role,
  confirmed: row.emailVerified,
  suspendedAt: row.suspendedAt && iso(row.suspendedAt),
  createdAt: iso(row.createdAt),
});

export async function findPerson(db: Database, by: { id: string } | { email: string }): Promise<PersonRow | null> {
  const [row] = await db
    .select()
    .from(user)
    .where("id" in by ? eq(user.id, by.id) : eq(user.email, by.email.toLowerCase()));
  return row ? personRow(row) : null;
}

export type PersonChange = "suspend" | "resume" | Role;

/** The change, the end of every session where it shuts somebody out, and the audit row: one transaction. */
export async function changePerson(db: Database, id: string, change: PersonChange, nowMs: number): Promise<void> {
  const values =
    change === "suspend"
      ? { suspendedAt: new Date(nowMs) }
      : change === "resume"
        ? { suspendedAt: null }
        : { role: change };
  await atomically(db, [
    db.update(user).set(values).where(eq(user.id, id)),
    // A new role begins with a new sign-in as well: a session that was left open somewhere does not become an operator's.
    ...(change === "resume" ? [] : [db.delete(session).where(eq(session.userId, id))]),
    db.insert(audit).values({ at: nowMs, actor: "operator", action: `person.${change}`, subject: id, detail: null }),
  ]);
}

/** What has run out. An address that was never confirmed is free again after a week. */
export function sweeping(db: Database, nowMs: number): Statement[] {
  return [
    db.delete(verification).where(lt(verification.expiresAt, new Date(nowMs))),
    db.delete(apiKeys).where(lt(apiKeys.expiresAt, nowMs)),
    db
      .delete(user)
      .where(
        and(
          eq(user.emailVerified, false),
          lt(user.createdAt, new Date(nowMs - UNCONFIRMED_KEPT_MS)),
          sql`not exists (select 1 from account where account.user_id = ${user.id} and account.provider_id <> 'credential')`,
          sql`not exists (select 1 from session where session.user_id = ${user.id})`,
          sql`not exists (select 1 from tenants where tenants.owner_id = ${user.id})`,
        ),
      ),
  ];
}
