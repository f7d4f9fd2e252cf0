import { type DeletionRest, type TenantData, toBase64url } from "../../schema/protocol/index.ts";
import type { Mail } from "../mail/rules.ts";
import { Secret } from "../vault/rules.ts";

/** No environment variable can have this name, so it never reaches a container; no owner can write it. */
export const VOLUME_KEY = "chelar.volume";

/** Made once, with the agent; sealed like every other secret, and destroyed with them. */
export const freshVolumeKey = (random: (bytes: number) => Uint8Array) => ({
  name: VOLUME_KEY,
  secret: new Secret(toBase64url(random(32))),
});

const DAY_MS = 24 * 3_600_000;
/**
 * For so long nobody else gets the name of a deleted agent, however briefly it lived: what was set up to go there finds
 * nobody. Whoever would take names by making and deleting is bounded by how often a person may create.
 */
export const NAME_KEPT_MS = 90 * DAY_MS;
/** For so long its line is kept, so that no old copy brings it back. */
export const LINE_KEPT_MS = 90 * DAY_MS;
/** Its steps are on its owner's page while it goes; then they go. */
export const FORGET_AFTER_MS = 10 * 60_000;
/** The longest that a provider of the database keeps copies for a restore to an earlier moment (Turso, 2026: 90 days). */
const DATABASE_COPIES_MS = 90 * DAY_MS;

/** What is left of an agent when it is gone, said to its owner as it is. */
export const remainsOf = (now: number): DeletionRest[] => [
  { what: "the steps of its deletion, in the database", until: now + FORGET_AFTER_MS },
  {
    what: "its id, its owner's id and times, in the database, so that no old copy brings it back",
    until: now + LINE_KEPT_MS,
  },
  { what: "its name, kept from everybody but its former owner", until: now + NAME_KEPT_MS },
  {
    what: "copies of the database at its provider, for restoring it to an earlier moment",
    until: now + DATABASE_COPIES_MS,
  },
  { what: "the audit's lines of who asked for what and when, and this receipt", until: null },
];

/** The same where its server will never say what it still has. `since`: when its keys were destroyed. */
export const remainsOnLost = (server: string, since: number): DeletionRest[] => [
  {
    what: `on ${server}, which is lost: not proven to be gone are its encrypted volume and, sealed to that server, the key of it`,
    until: null,
  },
  {
    what: "where it was copied to object storage: not proven to be gone are encrypted copies, until a sweep by another server that uses the same bucket finds them without an owner",
    until: null,
  },
  {
    what: `no key of it anywhere else: the database has held none since ${new Date(since).toISOString()}`,
    until: null,
  },
];

/** Of its quota: the owner is warned twice before it is full. */
export type StorageWarning = "nearly_full" | "almost_full" | "full";
export function storageWarning({
  usedBytes,
  limitBytes,
}: {
  usedBytes: number;
  limitBytes: number;
}): StorageWarning | null {
  const share = usedBytes / limitBytes;
  // The last block of a quota cannot be used by a write of more than one.
  if (share >= 0.99) return "full";
  if (share >= 0.95) return "almost_full";
  return share >= 0.8 ? "nearly_full" : null;
}

/** Between snapshots, and between copies in object storage. */
const SNAPSHOT_MINUTES = 6 * 60;
const BACKUP_MINUTES = 24 * 60;

/** The part of an agent's spec that is about its data. */
export function keepingOf(
  snapshots: number,
  wishes: { restores: number; restoreFrom: string | null; backups: number } | null,
): TenantData {
  const { restores = 0, restoreFrom = null, backups = 0 } = wishes ?? {};
  return {
    ...{ snapshotMinutes: SNAPSHOT_MINUTES, snapshots, backupMinutes: BACKUP_MINUTES, backups },
    restore: restores > 0 && restoreFrom !== null ? { number: restores, from: restoreFrom } : null,
  };
}

/** `switch_lost`: by its last copy, which may be older than its last hours. */
export type MoveStep = "wait" | "switch" | "switch_lost" | "forget";

/**
 * Whether an agent that is being moved may be started on its new host: its old one has stopped it and has sent a copy
 * since, or is lost. Wanted otherwise than stopped, it may have worked since that copy: then the move is off.
 */
export function decideMove(now: {
  desired: string;
  observed: string;
  isUpToDate: boolean;
  copies: { asked: number; made: number };
  isHostLost: boolean;
  hasCopy: boolean;
}): MoveStep {
  if (now.desired !== "stopped") return "forget";
  if (!now.hasCopy) return "wait";
  if (now.observed === "stopped" && now.isUpToDate && now.copies.made >= now.copies.asked) return "switch";
  return now.isHostLost ? "switch_lost" : "wait";
}

/** How long the receipt of an account can be fetched by its link. */
export const ACCOUNT_RECEIPT_KEPT_MS = 30 * DAY_MS;

/** `unsworn`: how many of its agents were on a server that was lost before it could say that nothing is left. */
export const wordOnAgents = (agents: number, unsworn: number): string =>
  unsworn === 0
    ? "no agent of it is left that is not proven to be gone"
    : `no agent of it runs or is reached; not proven to be gone is what lost servers hold of ${unsworn} of ${agents}`;

/** What is left of a person when their account is gone. */
export const remainsOfAccount = (now: number, unsworn: number): DeletionRest[] => [
  ...(unsworn === 0
    ? []
    : [{ what: "on lost servers, what the receipts of its agents there say is not proven to be gone", until: null }]),
  {
    what: "the account's id beside its agents' ids and times, so that no old copy brings one back",
    until: now + LINE_KEPT_MS,
  },
  { what: "the names of its agents, kept from everybody, each as its own receipt says", until: now + LINE_KEPT_MS },
  { what: "this receipt behind its link, without name or address", until: now + ACCOUNT_RECEIPT_KEPT_MS },
  {
    what: "copies of the database at its provider, for restoring it to an earlier moment",
    until: now + DATABASE_COPIES_MS,
  },
  { what: "bills and payments at the payment provider, as long as the law demands", until: null },
  { what: "the audit's lines of who asked for what and when, by ids, and the receipts of its agents", until: null },
];

interface Addressee {
  to: string;
  origin: string;
}

export const accountLeaving = ({ to, origin }: Addressee): Mail => ({
  to,
  subject: "Your account is being deleted",
  text: [
    "You asked for the deletion of your account at Chelar, with your password. All sessions and keys have ended.",
    "Your agents are being destroyed now, with their data and every copy. A signed receipt follows when nothing is left.",
    "",
    "Chelar",
    origin,
  ].join("\n"),
});

/** With the receipt itself: the link is for whoever wants a file, works once, and runs out. */
export const accountGone = (it: Addressee & { link: string; receipt: string; keptUntil: number }): Mail => ({
  to: it.to,
  subject: "Your account is deleted: the receipt",
  text: [
    "Nothing is left of your account at Chelar but what the receipt says. It is signed; any JOSE tool verifies it with",
    `${it.origin}/.well-known/chelar-receipt-keys.json`,
    "",
    it.receipt,
    "",
    `As a file, once, until ${new Date(it.keptUntil).toISOString().slice(0, 10)}: ${it.link}`,
    "",
    "This address can be used for a new account.",
    "",
    "Chelar",
    it.origin,
  ].join("\n"),
});

/** How long something must be nobody's, at every sweep, before it goes: time to bring back a database that forgot. */
export const ORPHAN_GRACE_MS = 7 * DAY_MS;
export const isSweepDue = (lastAt: number | null, now: number): boolean => lastAt === null || now - lastAt >= DAY_MS;
