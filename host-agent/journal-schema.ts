import { DatabaseSync } from "node:sqlite";

/**
 * Durable before it is acknowledged: WAL with synchronous=FULL writes and fsyncs the log at every commit. The
 * exclusive lock makes a second agent on the same directory fail at once instead of taking turns with this one; the
 * kernel gives it back when the process dies. What is deleted is overwritten: the sealed secrets of an agent that is
 * gone, in a backup that holds this host's key too, would still open.
 */
const PRAGMAS = `
  PRAGMA locking_mode = EXCLUSIVE;
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  PRAGMA foreign_keys = ON;
  PRAGMA secure_delete = ON;
`;

const TABLES = `
  CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

  CREATE TABLE IF NOT EXISTS commands (
    jti TEXT PRIMARY KEY,
    hash TEXT NOT NULL,
    exp INTEGER NOT NULL,
    outcome TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS commands_exp ON commands (exp);

  CREATE TABLE IF NOT EXISTS tenants (
    id TEXT PRIMARY KEY,
    generation INTEGER NOT NULL,
    body_hash TEXT NOT NULL,
    goal TEXT NOT NULL CHECK (goal IN ('running', 'suspended', 'stopped', 'purged')),
    spec TEXT,
    secrets_jwe TEXT,
    restarts INTEGER NOT NULL,
    uid INTEGER UNIQUE,
    slot INTEGER UNIQUE,
    state TEXT NOT NULL,
    state_generation INTEGER NOT NULL,
    detail TEXT
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE IF NOT EXISTS sleeping (
    tenant_id TEXT PRIMARY KEY REFERENCES tenants (id) ON DELETE CASCADE,
    generation INTEGER NOT NULL,
    depth TEXT NOT NULL CHECK (depth IN ('paused', 'stopped')),
    since_ms INTEGER NOT NULL,
    wake_at_ms INTEGER
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE IF NOT EXISTS moved (tenant_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

  CREATE TABLE IF NOT EXISTS data (tenant_id TEXT PRIMARY KEY, kept TEXT NOT NULL) STRICT, WITHOUT ROWID;

  CREATE TABLE IF NOT EXISTS receipts (tenant_id TEXT PRIMARY KEY, statement TEXT NOT NULL) STRICT, WITHOUT ROWID;

  CREATE TABLE IF NOT EXISTS blocked_slots (slot INTEGER PRIMARY KEY) STRICT;

  CREATE TABLE IF NOT EXISTS steps (
    tenant_id TEXT NOT NULL REFERENCES tenants (id),
    generation INTEGER NOT NULL,
    step TEXT NOT NULL,
    status TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, step)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE IF NOT EXISTS reports (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    type TEXT NOT NULL,
    body TEXT NOT NULL
  ) STRICT;
`;

/** Opens (and makes, root-only) the journal's file. Throws one sentence when another agent holds it. */
export function openDatabase(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: 0 });
  try {
    db.exec(PRAGMAS);
    db.exec(TABLES);
    return db;
  } catch (error) {
    db.close();
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) {
      throw new Error(`another host agent is at work on ${path}`, { cause: error });
    }
    throw error;
  }
}
const SQLITE_BUSY = 5;

export type Transact = <T>(work: () => T) => T;

/**
 * All of `work` or nothing of it. A failed commit (disk full) is rolled back and thrown. `onCommit` is called when a
 * commit is on the disk and nothing else has happened since: what a fault test cuts off there, the journal still knows.
 */
export function transactions(db: DatabaseSync, onCommit: () => void): Transact {
  return (work) => {
    db.exec("BEGIN IMMEDIATE");
    try {
      const result = work();
      db.exec("COMMIT");
      onCommit();
      return result;
    } catch (error) {
      if (db.isTransaction) db.exec("ROLLBACK");
      throw error;
    }
  };
}
