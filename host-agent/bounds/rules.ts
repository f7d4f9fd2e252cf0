/** What has left an agent on one day (UTC): its own connections, and answers to its visitors. */
export interface Egress {
  /** `2026-11-22` */
  day: string;
  bytes: number;
  /** Of its bridge, when it was last read: the kernel counts on while nobody looks. */
  counter: number;
  /** What its owner was told about this day. */
  told: Level;
}

/** `near`: a notice; `closed`: nothing more leaves it but answers to its visitors, until the day ends. */
export type Level = "open" | "near" | "closed";
const NEAR = 0.8;

export const dayOf = (nowMs: number): string => new Date(nowMs).toISOString().slice(0, 10);

/** A counter that is smaller than it was belongs to a new bridge, and has counted all of its own. */
export function counted(before: Egress | undefined, counter: number, day: string): Egress {
  // A clock that was set back opens nothing: the later day goes on.
  const isNewDay = before === undefined || day > before.day;
  // Of one that is looked at first: its bridge is its own, and everything on it has left it since.
  const seen = before?.counter ?? 0;
  const passed = counter >= seen ? counter - seen : counter;
  if (isNewDay) return { day, bytes: passed, counter, told: "open" };
  return { ...before, bytes: before.bytes + passed, counter };
}

export function levelOf(bytes: number, limitMiB: number | undefined): Level {
  if (limitMiB === undefined) return "open";
  const limit = limitMiB * 2 ** 20;
  return bytes >= limit ? "closed" : bytes >= NEAR * limit ? "near" : "open";
}

/** What its owner is told, once per day each. */
export function newsOf(egress: Egress, level: Level, limitMiB: number): string | null {
  const rank = { open: 0, near: 1, closed: 2 };
  if (rank[level] <= rank[egress.told]) return null;
  const used = `${Math.round(egress.bytes / 2 ** 20)} of ${limitMiB} MiB`;
  if (level === "near") return `It has sent ${used} that it may send today.`;
  return `It has sent ${used} that it may send today, and reaches nothing outside until midnight (UTC). Visitors still reach it.`;
}

/** Bytes that came from each interface, out of /proc/net/dev (proc(5)). */
export function receivedBytes(table: string): Map<string, number> {
  const rows = table.split("\n").flatMap((line): [string, number][] => {
    const [, name, bytes] = /^\s*([^\s:]+):\s*(\d+)/.exec(line) ?? [];
    return name && bytes ? [[name, Number(bytes)]] : [];
  });
  return new Map(rows);
}

/** Our own mark in `ip rule` (RTPROT in rtnetlink(7)); the walls' rules have another, and stand before these. */
const PROTOCOL = "220";
const PRIORITY = "20000";
/** Of one bridge, and so however many there are that have more to send: as many rules as closed agents. */
export const closing = (bridge: string): string[] => [
  "priority",
  PRIORITY,
  "iif",
  bridge,
  "prohibit",
  "protocol",
  PROTOCOL,
];

/** Bridges that are closed now, from the lines of `ip rule`. */
export function closedBridges(text: string): string[] {
  return text.split("\n").flatMap((line) => {
    const found = /^20000:\s.*\biif (\S+)\s.*\bprohibit\b.*\bproto 220\b/.exec(line.trim());
    return found?.[1] ? [found[1]] : [];
  });
}
