import { closeSync, openSync } from "node:fs";
import type { Command, CommandOutcome, ControlPlane, HeldKeyset, PublicKeyset } from "../schema/protocol/index.ts";
import { dataRows } from "./journal-data.ts";
import { ledgerRows } from "./journal-ledger.ts";
import { reportRows } from "./journal-reports.ts";
import { bodyHash, judgeHostCommand, judgeTenantCommand, type KnownHost } from "./journal-rules.ts";
import { openDatabase, transactions } from "./journal-schema.ts";
import { tenantRows } from "./journal-tenants.ts";

export type { Depth, TenantRecord } from "./journal-records.ts";
export type { Note, StepNote } from "./journal-tenants.ts";

/** A verified command on its way into the journal. */
export interface Acceptance {
  jti: string;
  /** base64url SHA-256 of the envelope. */
  hash: string;
  expSeconds: number;
  atMs: number;
  command: Command;
}

/**
 * How long a jti is remembered after its envelope expired. Expiry alone would do if clocks only went forward: a clock
 * that jumps ahead, forgets, and jumps back would let a replay in.
 */
const JTI_KEPT_SECONDS = 24 * 3_600;
/** Each epoch has its own numbers, so that a lost or old journal can neither reuse a UID nor repeat a report number. */
const UIDS_PER_EPOCH = 65_536;
const SEQS_PER_EPOCH = 2 ** 32;

export type Journal = ReturnType<typeof openJournal>;

/**
 * The durable state of this host: what was accepted, how far it came, what the edge has yet to hear. Synchronous: when
 * a method returns, what it wrote is on the disk; when it throws (disk full), nothing of it is.
 */
export function openJournal(path: string, onCommit: () => void = () => {}) {
  closeSync(openSync(path, "a", 0o600));
  const db = openDatabase(path);
  const transact = transactions(db, onCommit);
  const reports = reportRows(db);
  const tenants = tenantRows(db, transact, reports);
  const data = dataRows(db, transact, reports);
  const ledger = ledgerRows(db, reports);
  const getMeta = db.prepare("SELECT value FROM meta WHERE name = ?");
  const setMeta = db.prepare(
    "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
  );
  const setSeq = db.prepare("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'reports'");
  const addSeq = db.prepare(
    "INSERT INTO sqlite_sequence (name, seq) SELECT 'reports', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence)",
  );
  const commandByJti = db.prepare("SELECT hash, outcome FROM commands WHERE jti = ?");
  const insertCommand = db.prepare("INSERT INTO commands (jti, hash, exp, outcome) VALUES (?, ?, ?, ?)");
  const dropExpired = db.prepare("DELETE FROM commands WHERE exp < ?");

  const meta = (name: string) => getMeta.get(name)?.value as string | undefined;
  const epoch = (): number | null => Number(meta("epoch") ?? 0) || null;
  const keyset = (): PublicKeyset => JSON.parse(meta("keyset") ?? "null");
  const hostWord = (): KnownHost => ({
    generation: Number(meta("hostGeneration") ?? 0),
    bodyHash: meta("hostBodyHash") ?? "",
    keyset: keyset(),
  });
  const verdict = Promise.withResolvers<boolean>();
  if (meta("rolledBack")) verdict.resolve(false);
  let isConfirmed = false;

  function judge(command: Command): CommandOutcome {
    switch (command.type) {
      case "tenant.apply":
        return judgeTenantCommand(tenants.get(command.tenant.id), command);
      case "tenant.purge":
      case "tenant.halt":
        return judgeTenantCommand(tenants.get(command.tenantId), command);
      case "host.apply":
        return judgeHostCommand(hostWord(), command);
      case "host.reap":
      case "host.probe":
        return { status: "accepted" };
    }
  }

  function store(command: Command, outcome: CommandOutcome, atMs: number): void {
    if (outcome.status === "already_applied" && "tenant" in command) tenants.repeatState(command.tenant.id, atMs);
    if (outcome.status === "already_applied" && "tenantId" in command) tenants.repeatState(command.tenantId, atMs);
    if (outcome.status !== "accepted" || isPassing(command)) return;
    if (command.type !== "host.apply") {
      tenants.intend(command, atMs);
      return;
    }
    setMeta.run("hostGeneration", String(command.generation));
    setMeta.run("hostBodyHash", bodyHash(command));
    setMeta.run("keyset", JSON.stringify(command.keyset));
    if (command.controlPlane) setMeta.run("controlPlane", JSON.stringify(command.controlPlane));
  }

  function acceptOne({ jti, hash, expSeconds, atMs, command }: Acceptance): CommandOutcome {
    const known = commandByJti.get(jti);
    if (known) {
      return known.hash === hash ? JSON.parse(known.outcome as string) : { status: "refused", reason: "jti_reused" };
    }
    const outcome = judge(command);
    store(command, outcome, atMs);
    if (outcome.status === "accepted" && command.type !== "host.apply" && !isPassing(command)) {
      ledger.append(command, { epoch: epoch() ?? 1, at: atMs, jti, commandHash: hash });
    }
    insertCommand.run(jti, hash, expSeconds, JSON.stringify(outcome));
    return outcome;
  }

  return {
    tenants,
    data,
    reports,
    /** Null before the first enrolment. */
    epoch,
    keyset,

    /**
     * Starts an epoch. A keyset older than the one known is refused: it may hold a key that was retired. An old copy of
     * the journal forgets its tenants: it would bring agents back that were deleted since. The edge tells who is wanted.
     */
    adopt(enrolment: { epoch: number; keyset: PublicKeyset }, uidBase: number): void {
      const known = keyset();
      if (known && enrolment.keyset.version < known.version) {
        throw new Error(`the edge offers keyset ${enrolment.keyset.version}; this host has seen ${known.version}`);
      }
      transact(() => {
        const firstUid = uidBase + (enrolment.epoch - 1) * UIDS_PER_EPOCH;
        setMeta.run("nextUid", String(Math.max(Number(meta("nextUid") ?? 0), firstUid)));
        addSeq.run();
        setSeq.run((enrolment.epoch - 1) * SEQS_PER_EPOCH);
        setMeta.run("epoch", String(enrolment.epoch));
        setMeta.run("keyset", JSON.stringify(enrolment.keyset));
        setMeta.run("hostGeneration", "0");
        setMeta.run("hostBodyHash", "");
        if (meta("rolledBack")) {
          tenants.forgetAll();
          ledger.forgetAll();
        }
        setMeta.run("rolledBack", "");
      });
      isConfirmed = true;
    },

    /** The edge's own addresses, as it last named them; null before. An edge that names none has changed nothing. */
    controlPlane: (): ControlPlane | null => JSON.parse(meta("controlPlane") ?? "null"),

    /** The command keys that this host believes, by name. */
    held: (): HeldKeyset => ({ version: keyset().version, kids: keyset().keys.map(({ kid }) => kid) }),

    /**
     * The edge's signed word about how much of this epoch it has seen. More than this journal holds: the journal is an
     * old copy, and knows too little to act. Returns whether the journal may be trusted.
     */
    confirm(ackedSeq: number): boolean {
      if (ackedSeq > reports.lastSeq()) {
        setMeta.run("rolledBack", "yes");
      }
      isConfirmed = !meta("rolledBack");
      verdict.resolve(isConfirmed);
      return isConfirmed;
    },

    /** The edge's first word about this journal since the process began: whether it may be trusted. */
    verdict: verdict.promise,

    /**
     * Replay, generation and the intent itself, of all commands that have come together in one transaction: they share
     * the fsync, which is what a command costs. Its outcomes are the answers to the edge; when it throws, nothing of any
     * of them was taken on.
     */
    accept(acceptances: readonly Acceptance[]): CommandOutcome[] {
      if (meta("rolledBack")) throw new Error("the journal is an old copy: enrol this host again");
      // Until then it could be one: it would give a UID twice, or make an agent again that was deleted since.
      if (!isConfirmed) throw new Error("the edge has not confirmed this journal since the agent began");
      return transact(() => {
        // By the latest of them, once: each of a batch would ask the same index for the same nothing.
        const latestMs = Math.max(...acceptances.map(({ atMs }) => atMs));
        dropExpired.run(Math.floor(latestMs / 1_000) - JTI_KEPT_SECONDS);
        return acceptances.map(acceptOne);
      });
    },

    close: () => db.close(),
  };
}

/** Looked at or done at once, and told again when it is needed: nothing of it has to be kept. */
const isPassing = (command: Command): command is Extract<Command, { type: "host.reap" | "host.probe" }> =>
  command.type === "host.reap" || command.type === "host.probe";
