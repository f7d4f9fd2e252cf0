import { createHash, createHmac, timingSafeEqual } from "node:crypto";

/** Equal in constant time, whatever their lengths: compared are their hashes. */
export const isSame = (one: string, other: string): boolean =>
  timingSafeEqual(createHash("sha256").update(one).digest(), createHash("sha256").update(other).digest());

/** Lower-case hex of HMAC-SHA256. */
export const hmacHex = (key: string, ...parts: (string | Uint8Array)[]): string => {
  const mac = createHmac("sha256", key);
  for (const part of parts) mac.update(part);
  return mac.digest("hex");
};

/** A signed time that is further away is a recording. */
export const REPLAY_WINDOW_MS = 5 * 60_000;
export const isRecent = (seconds: string | null, nowMs: number): boolean =>
  /^\d{9,11}$/.test(seconds ?? "") && Math.abs(nowMs - Number(seconds) * 1000) <= REPLAY_WINDOW_MS;
