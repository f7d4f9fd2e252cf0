import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { DOWNLOAD_PATH, importKeyset, MAX_ENVELOPE_BYTES, verifyEnvelope } from "../../schema/protocol/index.ts";
import { readBody } from "../body.ts";
import type { Identity } from "../identity.ts";
import type { Journal, TenantRecord } from "../journal.ts";
import { describeError, type Log } from "../log.ts";
import { closeView, openView } from "../storage/index.ts";
import type { Tenant } from "../tenants/layout.ts";
import type { Volumes } from "../tenants/ports.ts";
import { archiveOf } from "./archive.ts";
import { README, readmeOf } from "./rules.ts";

/** At the same time on one host: each reads a whole volume, which its neighbours feel. */
const MAX_AT_ONCE = 4;
const WATCH_EVERY_MS = 500;
/** A person on a slow line; Caddy's own limit is the same. */
const LONGEST_MS = 30 * 60_000;
const SNAPSHOT = "export";

export interface ExporterOptions {
  identity: Identity;
  journal: Pick<Journal, "keyset"> & { tenants: Pick<Journal["tenants"], "get"> };
  volumes: Pick<Volumes, "snapshots">;
  tenantOf: (record: TenantRecord) => Tenant;
  /** Null where none came with the tenant's command. */
  keyOf: (record: TenantRecord) => Promise<string | null>;
  stateDir: string;
  log: Log;
  nowMs: () => number;
}

export interface Exporter {
  /** True when it was the question for an archive; it is answered then. */
  handle(request: IncomingMessage, response: ServerResponse): boolean;
  stop(): Promise<void>;
}

/**
 * Gives an agent's own files to whoever shows the edge's signed word for exactly that, once. From a snapshot that is
 * opened beside the volume, so that the agent goes on, asleep or not, and nothing changes while it is read.
 */
export function createExporter(options: ExporterOptions): Exporter {
  const { identity, journal, log, nowMs, stateDir } = options;
  const root = `${stateDir}/exports`;
  const running = new Map<string, { abort: AbortController; ended: Promise<void> }>();
  /** Words that were shown, until they run out. */
  const spent = new Map<string, number>();
  const cleared = clearLeftovers(root).catch((error) => log.error("export.leftovers", { error: describeError(error) }));

  /** The agent that is meant, or null for whatever is wrong with the word. */
  async function asked(compact: string): Promise<string | null> {
    const nowSeconds = Math.floor(nowMs() / 1_000);
    const verdict = await verifyEnvelope("download", compact, {
      nowSeconds,
      issuer: identity.edge,
      audience: identity.hostId,
      epoch: identity.epoch,
      keys: await importKeyset(journal.keyset()),
    });
    if (!verdict.ok) {
      log.warn("export.refused", { reason: verdict.refusal.reason });
      return null;
    }
    const { jti, exp, download } = verdict.claims;
    for (const [word, until] of spent) if (until < nowSeconds) spent.delete(word);
    if (spent.has(jti)) return null;
    // Longer than any clock may differ.
    spent.set(jti, exp + 120);
    return download.tenantId;
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(request, MAX_ENVELOPE_BYTES.download);
    const tenantId = body === null ? null : await asked(body);
    if (tenantId === null) return refuse(response, 403, "download_refused");
    await cleared;
    const record = journal.tenants.get(tenantId);
    const isHere = record?.spec && record.goal !== "purged" && record.uid !== null && record.slot !== null;
    if (!record || !isHere) return refuse(response, 404, "no_data");
    if (running.has(tenantId) || running.size >= MAX_AT_ONCE) return refuse(response, 429, "busy");
    const abort = new AbortController();
    response.once("close", () => abort.abort());
    const ended = give(record, response, abort)
      .catch((error) => {
        if (!abort.signal.aborted) log.error("export.failed", { tenant: tenantId, error: describeError(error) });
        // Whoever reads must see that the end is missing.
        response.destroy();
      })
      .finally(() => running.delete(tenantId));
    running.set(tenantId, { abort, ended });
    await ended;
  }

  async function give(record: TenantRecord, response: ServerResponse, abort: AbortController): Promise<void> {
    const { layout, spec } = options.tenantOf(record);
    const key = await options.keyOf(record);
    if (!key || !(await options.volumes.snapshots.hasLive(layout))) return refuse(response, 404, "no_data");
    const begun = nowMs();
    const notes = `${root}/${record.id}.notes`;
    const files = `${root}/${record.id}`;
    const watch = setInterval(() => {
      // Its deletion waits for nobody; nor does a reader of a byte a minute hold a snapshot for ever.
      const isOver = journal.tenants.get(record.id)?.goal === "purged" || nowMs() - begun > LONGEST_MS;
      if (isOver) abort.abort();
    }, WATCH_EVERY_MS);
    try {
      await options.volumes.snapshots.frozen(
        layout,
        async (cipherDir) => {
          try {
            await openView(cipherDir, files, key);
            await mkdir(notes, { recursive: true, mode: 0o700 });
            await writeFile(`${notes}/${README}`, readmeOf(spec.slug, spec.runtime, new Date(begun)));
            await send(response, { notes, files }, abort.signal);
          } finally {
            await closeView(files);
            await rm(notes, { recursive: true, force: true });
          }
        },
        SNAPSHOT,
      );
    } finally {
      clearInterval(watch);
    }
    log.info("export.given", { tenant: record.id, tookMs: nowMs() - begun });
  }

  return {
    handle(request, response) {
      if (request.url !== DOWNLOAD_PATH || request.method !== "POST") return false;
      answer(request, response).catch((error) => {
        log.error("export.failed", { error: describeError(error) });
        response.destroy();
      });
      return true;
    },
    async stop() {
      for (const { abort } of running.values()) abort.abort();
      await Promise.all([...running.values()].map(({ ended }) => ended));
    },
  };
}

async function send(response: ServerResponse, places: { notes: string; files: string }, signal: AbortSignal) {
  signal.throwIfAborted();
  const archive = archiveOf(places);
  try {
    response.writeHead(200, { "content-type": "application/x-tar", "cache-control": "no-store" });
    await pipeline(archive.stream, response, { signal, end: false });
    await archive.done;
    // Only now: an archive that lacks something must not look whole.
    response.end();
  } finally {
    archive.stop();
    await archive.done.catch(() => {});
  }
}

/** What an agent that was killed has left open. The snapshots go with the next one, or with their volume. */
async function clearLeftovers(root: string): Promise<void> {
  for (const name of await readdir(root).catch(() => [])) {
    if (name.endsWith(".notes")) await rm(`${root}/${name}`, { recursive: true, force: true });
    else await closeView(`${root}/${name}`);
  }
}

function refuse(response: ServerResponse, status: 403 | 404 | 429, code: string): void {
  response.writeHead(status, { "content-type": "application/json", connection: "close" });
  response.end(JSON.stringify({ code }));
}
