import type { TenantStatus } from "../../schema/protocol/index.ts";

type Status = Omit<TenantStatus, "seq">;

/** Told again after so long in any case: who sees an old word cannot know whether it is still true. */
const STALE_MS = 15 * 60_000;
/** Requests alone are told no more often than that. */
const REQUESTS_MS = 5 * 60_000;
const MEMORY_SHARE = 0.1;
const CPU_PERCENT = 10;

/** Whether a status differs from the last one that was told by more than a little. */
export function isNews(told: Status | null, now: Status): boolean {
  if (told === null || now.at - told.at >= STALE_MS || now.at < told.at) return true;
  if ((now.requests ?? 0) > 0 && now.at - told.at >= REQUESTS_MS) return true;
  if (JSON.stringify(told.runtime) !== JSON.stringify(now.runtime)) return true;
  if (Math.abs(told.cpuPercent - now.cpuPercent) >= CPU_PERCENT) return true;
  return Math.abs(told.memoryMiB - now.memoryMiB) > MEMORY_SHARE * told.memoryMiB;
}
