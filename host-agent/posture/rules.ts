/** The kernel's cryptography for user space (AF_ALG): no tenant needs it, and its holes are everybody's (CVE-2026-31431). */
export const BLOCKED_MODULES = ["algif_aead", "algif_hash", "algif_rng", "algif_skcipher", "af_alg"] as const;

/** One word per attack: the wall held, gave way, could not be put to the test, or is not ours to keep on this host. */
export type Outcome = "held" | "breached" | "unproven" | "not_managed";

/**
 * Where an attacker stands. inside: the tenant's own process. namespace: root of the container's network namespace, as
 * if the fourth wall had fallen. escaped: out of the container, with the tenant's UID. outside: a machine on the host's
 * own wire.
 */
export type Position = "inside" | "namespace" | "escaped" | "outside" | "host";

/** One line for the attacker's program: an operation of attacker.pl and its arguments. */
export interface Attempt {
  operation: string;
  arguments: readonly (string | number)[];
}

/** What the attacker's program saw; a missing line is `broken`. */
export interface Seen {
  verdict: "done" | "refused" | "answered" | "silent" | "stopped" | "ended" | "broken";
  detail: string;
}

/** What a receiver saw of one target. Null: nobody listens there who could tell. */
export interface Arrivals {
  attack: number;
  /** Of the same packet, sent from where it is allowed: without it, silence proves nothing. */
  control: number;
}

export interface Judgement {
  outcome: Outcome;
  evidence: string;
}

export interface Attack {
  id: string;
  layer: 1 | 2 | 3 | 4;
  /** What it stands for: a benchmark's number, a CVE, a case of the Agents of Chaos paper (arXiv 2602.20021). */
  source: string;
  from: Position;
  tries: string;
  must: string;
  attempt: Attempt;
  /** Where arrivals are counted: `tcp ADDRESS PORT`. */
  target?: { at: Receiver; key: string };
  /** The same thing from where it is allowed. */
  control?: { from: Position; attempt: Attempt };
  /** Runs when nothing else does, since it takes what all share. */
  alone?: boolean;
  judge(seen: Seen, arrivals: Arrivals | null): Judgement;
}
export type Receiver = "world" | "neighbour" | "host";

/** A row that this host has no wall for; told, never counted as held. */
export interface Unmanaged {
  id: string;
  layer: 1 | 2 | 3 | 4;
  source: string;
  from: Position;
  tries: string;
  must: string;
  why: string;
}

export interface Row {
  id: string;
  layer: number;
  source: string;
  from: Position;
  tries: string;
  /** True only when the attack was really tried and stopped; null where the wall is not managed here. */
  held: boolean | null;
  outcome: Outcome;
  evidence: string;
}

export interface Verdict {
  attacks: Row[];
  held: number;
  breached: number;
  unproven: number;
  notManaged: number;
}

export function verdictOf(attacks: Row[]): Verdict {
  const count = (outcome: Outcome) => attacks.filter((row) => row.outcome === outcome).length;
  return {
    attacks,
    held: count("held"),
    breached: count("breached"),
    unproven: count("unproven"),
    notManaged: count("not_managed"),
  };
}

const HELD: Record<Outcome, boolean | null> = { held: true, breached: false, unproven: false, not_managed: null };

export const rowOf = (attack: Attack | Unmanaged, { outcome, evidence }: Judgement): Row => {
  const { id, layer, source, from, tries } = attack;
  return { id, layer, source, from, tries, held: HELD[outcome], outcome, evidence };
};

const held = (evidence: string): Judgement => ({ outcome: "held", evidence });
const breached = (evidence: string): Judgement => ({ outcome: "breached", evidence });
const unproven = (evidence: string): Judgement => ({ outcome: "unproven", evidence });

/** Linux, asm-generic/errno.h: the same on x86-64 and arm64. */
const ERRNO: Readonly<Record<string, string>> = {
  "1": "EPERM",
  "2": "ENOENT",
  "9": "EBADF",
  "11": "EAGAIN",
  "12": "ENOMEM",
  "13": "EACCES",
  "14": "EFAULT",
  "16": "EBUSY",
  "22": "EINVAL",
  "26": "ETXTBSY",
  "28": "ENOSPC",
  "30": "EROFS",
  "38": "ENOSYS",
  "93": "EPROTONOSUPPORT",
  "97": "EAFNOSUPPORT",
  "99": "EADDRNOTAVAIL",
  "101": "ENETUNREACH",
  "111": "ECONNREFUSED",
  "113": "EHOSTUNREACH",
  "116": "ESTALE",
  "122": "EDQUOT",
};
export const errnoName = (number: string): string => ERRNO[number] ?? `errno ${number}`;

const words = ({ verdict, detail }: Seen): string =>
  verdict === "refused" ? errnoName(detail) : `${verdict}: ${detail}`;

/**
 * Held only by a refusal of the wall itself. Another errno means that the attempt got past it and failed for another
 * reason (this kernel has no such call, the argument was bad), which the next kernel may not do.
 */
export const refusedWith =
  (...accepted: string[]) =>
  (seen: Seen): Judgement => {
    if (seen.verdict === "broken") return unproven(seen.detail);
    if (seen.verdict === "refused" && accepted.includes(errnoName(seen.detail))) return held(words(seen));
    return breached(
      seen.verdict === "refused" ? `${words(seen)}: past the wall, stopped by something else` : words(seen),
    );
  };

/** Held when what was read says so; `fault` names what is wrong, or null. */
export const showing =
  (fault: (detail: string) => string | null, evidence: (detail: string) => string) =>
  (seen: Seen): Judgement => {
    if (seen.verdict !== "done") return unproven(words(seen));
    const found = fault(seen.detail);
    return found === null ? held(evidence(seen.detail)) : breached(found);
  };

/** Held when the attempt was stopped by a limit, at a number that is not above it. */
export const stoppedBy =
  (limit: number, unit: string) =>
  (seen: Seen): Judgement => {
    if (seen.verdict === "broken" || seen.verdict === "refused") return unproven(words(seen));
    const reached = Number.parseInt(seen.detail, 10);
    const evidence = `${seen.detail}; the limit is ${limit} ${unit}`;
    return seen.verdict === "stopped" && reached <= limit ? held(evidence) : breached(evidence);
  };

/** Held when nothing arrived and nobody answered, while the same packet did arrive from where it is allowed. */
export function unreached(seen: Seen, arrivals: Arrivals | null): Judgement {
  if (seen.verdict === "broken") return unproven(seen.detail);
  const { attack, control } = arrivals ?? { attack: 0, control: 0 };
  const sender = seen.verdict === "refused" ? `refused (${errnoName(seen.detail)})` : words(seen);
  if (attack > 0) return breached(`${sender}; ${attack} packets arrived`);
  if (seen.verdict === "answered") return breached(sender);
  if (control === 0) return unproven(`${sender}; but the target was not reached from where it is allowed either`);
  return held(`${sender}; 0 arrived, ${control} did from where it is allowed`);
}

/** The lines of one run of the attacker's program, by the id that each was given. */
export function parseSeen(output: string): Map<string, Seen> {
  const seen = new Map<string, Seen>();
  for (const line of output.split("\n")) {
    const [id = "", verdict = "", ...detail] = line.split("\t");
    if (/^(done|refused|answered|silent|stopped|ended|broken)$/.test(verdict)) {
      seen.set(id, { verdict: verdict as Seen["verdict"], detail: detail.join(" ").trim() });
    }
  }
  return seen;
}

export const attemptLine = (id: string, { operation, arguments: given }: Attempt): string =>
  [id, operation, ...given].join("\t");
