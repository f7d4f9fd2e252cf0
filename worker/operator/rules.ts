import { z } from "zod";
import type { Finding, HostView, Overview, Tone } from "./types.ts";

/** Older than this, a word in the outbox is not just on its way. */
export const LATE_MS = 10 * 60_000;
/** The attacks run once a day: two missed runs are nobody's oversight any more. */
export const POSTURE_KEPT_MS = 48 * 3_600_000;
/** Above this share a host takes no large agent any more. */
const NEARLY_FULL = 0.9;
/** Reading needs a sign-in within a working day; acting one within the last half hour, as everywhere. */
export const READING_FRESH_MS = 12 * 3_600_000;
export const ACTING_FRESH_MS = 30 * 60_000;

export const share = ({ used, of }: { used: number; of: number }): number => (of > 0 ? used / of : 1);

/** Everything that is wrong, in sentences, the worst first. What it does not name is well. */
export function findingsOf(seen: Omit<Overview, "findings">): Finding[] {
  const now = Date.parse(seen.at);
  const found: Finding[] = [];
  const say = (tone: "poor" | "bad", about: Finding["about"], sentence: string) =>
    void found.push({ tone, about, sentence });
  for (const { name, tone, reason } of seen.hosts.flatMap((host) => hostFindings(host, now))) {
    say(tone, "hosts", `${name} ${reason}.`);
  }
  if (seen.hosts.length === 0) say("poor", "hosts", "There is no server yet.");
  const failed = seen.failed.length;
  if (failed > 0) say("bad", "failed", `${plural(failed, "agent")} failed.`);
  const { depth, oldestAt, stuck } = seen.outbox;
  const age = oldestAt === null ? 0 : now - Date.parse(oldestAt);
  if (age > LATE_MS) {
    say(
      stuck.length > 0 ? "bad" : "poor",
      "outbox",
      `${plural(depth, "command")} waiting, the oldest for ${words(age)}.`,
    );
  }
  for (const { kind } of seen.alerts) {
    // Said by the host's own line already.
    if (kind !== "host_silent") say(ALERT_TONES[kind] ?? "bad", "alerts", `${ALERT_WORDS[kind] ?? kind}.`);
  }
  const { owing } = seen.revenue;
  if (owing > 0) say("poor", "billing", `${plural(owing, "account")} with a payment that failed.`);
  return found.sort((a, b) => Number(a.tone === "poor") - Number(b.tone === "poor"));
}

/** What is wrong with one host, each as the end of a sentence that begins with its name. */
export function hostFindings(host: HostView, now: number): { name: string; tone: "poor" | "bad"; reason: string }[] {
  const { name, posture } = host;
  const found: { name: string; tone: "poor" | "bad"; reason: string }[] = [];
  const say = (tone: "poor" | "bad", reason: string) => void found.push({ name, tone, reason });
  if (host.silent) say("bad", "is silent");
  if (posture === null) say("poor", "has not attacked its own walls yet");
  else {
    if (posture.breached > 0) say("bad", `was got through by ${plural(posture.breached, "attack")}`);
    if (posture.unproven > 0) say("poor", `could not try ${plural(posture.unproven, "attack")} on its walls`);
    if (now - Date.parse(posture.at) > POSTURE_KEPT_MS) say("poor", "has not attacked its walls for two days");
    const old = posture.gates.filter(({ ok }) => !ok).map((gate) => gate.name.replaceAll("_", " "));
    if (old.length > 0) say("poor", `runs an old version of ${old.join(", ")}`);
  }
  const drift = Object.values(host.drift).reduce((sum, times) => sum + times, 0);
  if (drift > 0) say("poor", `had its walls changed ${drift === 1 ? "once" : `${drift} times`}, and put them back`);
  if (host.state === "draining") say("poor", "is draining");
  else if ([host.agents, host.memoryMiB, host.diskMiB].some((room) => share(room) >= NEARLY_FULL)) {
    say("poor", "is nearly full");
  }
  return found;
}

export const worstOf = (found: readonly { tone: "poor" | "bad" }[]): Tone =>
  found.some(({ tone }) => tone === "bad") ? "bad" : found.length > 0 ? "poor" : "good";

export const ALERT_WORDS: Readonly<Record<string, string>> = {
  no_capacity: "Somebody was sent away: there was no room",
  keyset_behind: "A host holds newer keys than this edge",
  host_rolled_back: "A host has an old journal",
  host_silent: "A host is silent",
  stranger: "A host has an agent that nobody knows",
  left_behind: "Data was left behind on a host",
  disk_short: "A host's disk is nearly full",
  engine_away: "A host's container engine does not answer",
  deletion_waits: "Deletions wait for a host",
};
const ALERT_TONES: Readonly<Record<string, "poor" | "bad">> = { left_behind: "poor" };

export const plural = (count: number, word: string): string => `${count} ${word}${count === 1 ? "" : "s"}`;

/** A span of time in its largest unit. */
export function words(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 1) return "less than a minute";
  if (minutes < 120) return plural(minutes, "minute");
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? plural(hours, "hour") : plural(Math.floor(hours / 24), "day");
}

const searched = z.string().trim().max(120).catch("");
const day = z.iso.date().optional().catch(undefined);
/** What the audit is searched for. Whatever cannot be searched for is left out, so that a form shows what was typed. */
export const auditSearch = z.object({
  who: searched,
  what: searched,
  about: searched,
  since: day,
  until: day,
});
export type AuditSearch = z.infer<typeof auditSearch>;

const DAY_MS = 24 * 3_600_000;
/** Days are whole and in UTC: `until` is the last one. */
export const auditTimes = ({ since, until }: Pick<AuditSearch, "since" | "until">) => ({
  from: since === undefined ? null : Date.parse(since),
  before: until === undefined ? null : Date.parse(until) + DAY_MS,
});

/**
 * One field of a CSV file (RFC 4180). A spreadsheet runs a cell that begins like a formula, and what stands in an audit
 * was partly chosen by strangers: such a cell gets an apostrophe first (OWASP, CSV injection).
 */
export function csvField(value: string | number | null): string {
  const text = String(value ?? "");
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return `"${safe.replaceAll('"', '""')}"`;
}
export const csvLine = (values: readonly (string | number | null)[]): string => `${values.map(csvField).join(",")}\r\n`;
