import { createHash } from "node:crypto";
import type {
  Command,
  CommandOutcome,
  DesiredState,
  HostApply,
  PublicKeyset,
  TenantApply,
} from "../schema/protocol/index.ts";

/** What a tenant is to become. `purged` is the end: nothing leads out of it. */
export type Goal = DesiredState | "purged";

export type TenantCommand = Extract<Command, { type: "tenant.apply" | "tenant.purge" | "tenant.halt" }>;

export interface KnownTenant {
  generation: number;
  bodyHash: string;
  goal: Goal;
}

const accepted = { status: "accepted" } as const;
const alreadyApplied = { status: "already_applied" } as const;

/**
 * Two deliveries of one desired state carry different ciphertext, since sealing is randomised; they are the same
 * word all the same. Whether there are secrets is part of the body, which of them is not.
 */
export function bodyHash(command: TenantCommand | HostApply): string {
  const body =
    command.type === "tenant.apply" ? { ...command, secretsJwe: hasSecrets(command) ? "sealed" : null } : command;
  return createHash("sha256").update(JSON.stringify(body)).digest("base64url");
}
const hasSecrets = (command: TenantApply) => command.secretsJwe !== null;

/** What a command for a tenant means, given what the journal holds of that tenant. */
export function judgeTenantCommand(known: KnownTenant | undefined, command: TenantCommand): CommandOutcome {
  // Nothing is there to be ended, and nothing is to be remembered of it.
  if (!known) return command.type === "tenant.halt" ? alreadyApplied : accepted;
  const { generation: have } = known;
  if (command.generation < have) return { status: "refused", reason: "generation_stale", have };
  if (known.goal === "purged") {
    return command.type !== "tenant.apply" ? alreadyApplied : { status: "refused", reason: "tenant_purged", have };
  }
  if (command.generation > have) return accepted;
  return bodyHash(command) === known.bodyHash
    ? alreadyApplied
    : { status: "refused", reason: "generation_conflict", have };
}

export interface KnownHost {
  generation: number;
  /** Of the last word about the host; empty before the first. */
  bodyHash: string;
  keyset: PublicKeyset;
}

/** A lower keyset never comes back: it may hold a key that was retired because it leaked. */
export function judgeHostCommand(known: KnownHost, command: HostApply): CommandOutcome {
  const { generation: have, keyset } = known;
  const isSameKeyset = JSON.stringify(command.keyset) === JSON.stringify(keyset);
  // Before the generation: a newer word with an older keyset is refused for what is wrong with it.
  if (command.keyset.version < keyset.version || (command.keyset.version === keyset.version && !isSameKeyset)) {
    return { status: "refused", reason: "keyset_stale", have: keyset.version };
  }
  if (command.generation < have) return { status: "refused", reason: "generation_stale", have };
  if (command.generation > have) return accepted;
  return bodyHash(command) === known.bodyHash
    ? alreadyApplied
    : { status: "refused", reason: "generation_conflict", have };
}

/** The lowest free slot of those that stand ready, or of all where none of them is free. */
export function nextSlot(
  taken: readonly number[],
  slots: number,
  ready: ReadonlySet<number> = new Set(),
): number | null {
  const free = [...ready].filter((slot) => !taken.includes(slot));
  return free.length > 0 ? Math.min(...free) : lowestFreeSlot(taken, slots);
}

/** The lowest free slot, or null when the pool is used up. `taken` must be sorted. */
export function lowestFreeSlot(taken: readonly number[], slots: number): number | null {
  const index = taken.findIndex((slot, position) => slot !== position);
  const free = index === -1 ? taken.length : index;
  return free < slots ? free : null;
}
