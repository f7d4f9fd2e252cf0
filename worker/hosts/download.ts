import { eq } from "drizzle-orm";
import { tenants } from "../../schema/db/index.ts";
import { DOWNLOAD_PATH, ENVELOPE_CONTENT_TYPE } from "../../schema/protocol/index.ts";
import type { DeliveryContext } from "./deliver.ts";
import { heldBy } from "./host-word.ts";
import { signFor } from "./sign.ts";
import * as store from "./store.ts";

const BEGINS_WITHIN_MS = 60_000;

/**
 * An agent's own files as its host sends them: asked for with a word that is good for this agent, this host and once, so
 * that nothing which opens them is ever in an address. `signal`: of the reader, who may go at any time.
 */
export async function fetchFiles(
  context: DeliveryContext,
  tenantId: string,
  signal: AbortSignal,
): Promise<{ ok: true; body: ReadableStream } | { ok: false; reason: "away" | "busy" | "none" }> {
  const { db, world, config } = context;
  const [tenant] = await db.select().from(tenants).where(eq(tenants.id, tenantId));
  const host = tenant && (await store.findHost(db, tenant.hostId));
  if (!host) return { ok: false, reason: "none" };
  const signing = { world, edge: config.dashboardOrigin, keys: config.commandKeys };
  const addressee = { id: host.id, epoch: host.epoch, keyset: heldBy(host) };
  const body = await signFor("download", addressee, { download: { tenantId } }, signing);
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), BEGINS_WITHIN_MS);
  try {
    const response = await context.fetch(`${host.endpoint}${DOWNLOAD_PATH}`, {
      method: "POST",
      headers: { "content-type": ENVELOPE_CONTENT_TYPE },
      body,
      redirect: "manual",
      signal: AbortSignal.any([late.signal, signal]),
    });
    if (response.status === 200 && response.body) return { ok: true, body: response.body };
    await response.body?.cancel();
    const reason = response.status === 404 ? "none" : response.status === 429 ? "busy" : "away";
    return { ok: false, reason };
  } catch {
    return { ok: false, reason: "away" };
  } finally {
    clearTimeout(timer);
  }
}
