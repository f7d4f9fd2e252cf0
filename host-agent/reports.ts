import {
  ENVELOPE_CONTENT_TYPE,
  envelopeHash,
  freshClaims,
  importKeyset,
  importSigningKey,
  keyId,
  MAX_ENVELOPE_BYTES,
  REPORT_PATH,
  type Report,
  signEnvelope,
  verifyEnvelope,
} from "../schema/protocol/index.ts";
import type { Identity } from "./identity.ts";
import type { Journal } from "./journal.ts";
import { describeError, type Log } from "./log.ts";
import { backoffMs, createBell } from "./waiting.ts";

const MAX_BATCH = 100;
/** base64url makes 4 bytes of 3, and header, signature and claims come on top: 45 kB stay below 64 KiB. */
const MAX_BATCH_BYTES = 45_000;
/** Steps come in bursts, and the last one with the word that matters: whoever waits for that is not kept by a batch before. */
const PROGRESS_WAITS_MS = 40;
const SEND_TIMEOUT_MS = 15_000;
const BACKOFF = { firstMs: 250, maxMs: 30_000 };

export interface ReportSenderOptions {
  journal: Pick<Journal, "reports" | "confirm" | "held" | "keyset">;
  identity: Identity;
  edgeUrl: string;
  log: Log;
  nowMs: () => number;
  random: (bytes: number) => Uint8Array;
  fetch?: typeof fetch;
}

export interface ReportSender {
  /** Ends after the batch in flight, or at once where that hangs. Unsent reports stay in the journal. */
  stop(): Promise<void>;
}

/**
 * Carries the journal's outbox to the edge: in order, at least once, one batch in flight. What is written meanwhile
 * goes with the next batch, so that a slow edge gets fewer and larger ones. The first goes out even when there is nothing
 * to say: its answer tells whether this journal is the newest.
 */
export function startReportSender(options: ReportSenderOptions): ReportSender {
  const { journal, log } = options;
  const bell = createBell();
  const ending = new AbortController();
  journal.reports.onNew(bell.ring);

  async function run(): Promise<void> {
    const send = await createSend(options, ending.signal);
    let failures = 0;
    let heard = false;
    while (!ending.signal.aborted) {
      // The journal's failure is one like the edge's: a disk that fails a read must not silence this host for good.
      try {
        const batch = await gather();
        if (batch.length === 0 && heard) {
          await bell.wait();
          continue;
        }
        take(await send(batch), batch);
        heard = true;
        if (failures > 0) log.info("reports.resumed", { failures });
        failures = 0;
      } catch (error) {
        if (ending.signal.aborted) return;
        failures += 1;
        if (failures === 1) log.warn("reports.unsent", { error: describeError(error) });
        await delay(backoffMs(failures, BACKOFF, Math.random()), ending.signal);
      }
    }
  }

  /** What is to be sent now: at once when a tenant's state is told, else a moment after the first step. */
  async function gather(): Promise<Report[]> {
    const until = performance.now() + PROGRESS_WAITS_MS;
    for (;;) {
      const batch = journal.reports.pending(MAX_BATCH, MAX_BATCH_BYTES);
      const leftMs = until - performance.now();
      const onlySteps = batch.length > 0 && batch.every(({ type }) => type === "tenant.progress");
      if (!onlySteps || leftMs <= 0 || ending.signal.aborted) return batch;
      await bell.wait(leftMs);
    }
  }

  function take(ackedSeq: number, batch: readonly Report[]): void {
    if (!journal.confirm(ackedSeq)) {
      log.error("journal.rolled_back", { ackedSeq, lastSeq: journal.reports.lastSeq(), hint: "enrol this host again" });
    }
    journal.reports.acknowledge(ackedSeq);
    if (ackedSeq < (batch[0]?.seq ?? 0)) throw new Error(`the edge acknowledges only ${ackedSeq}`);
  }

  const running = run().catch((error) => log.error("reports.ended", { error: describeError(error) }));
  return {
    async stop() {
      ending.abort();
      bell.ring();
      await running;
    },
  };
}

async function createSend(options: ReportSenderOptions, ending: AbortSignal) {
  const { identity, edgeUrl, nowMs, random } = options;
  const call = options.fetch ?? fetch;
  const signing = {
    kid: await keyId(identity.signing),
    privateKey: await importSigningKey(identity.signing),
  };
  const { journal } = options;
  const parties = { iss: identity.hostId, aud: identity.edge, epoch: identity.epoch };
  return async (reports: Report[]): Promise<number> => {
    const body = await signEnvelope(
      "report",
      {
        ...freshClaims(Math.floor(nowMs() / 1_000), random(16)),
        ...parties,
        lastSeq: journal.reports.lastSeq(),
        keyset: journal.held(),
        reports,
      },
      signing,
    );
    const response = await call(`${edgeUrl}${REPORT_PATH}`, {
      method: "POST",
      headers: { "content-type": ENVELOPE_CONTENT_TYPE },
      body,
      redirect: "error",
      signal: AbortSignal.any([ending, AbortSignal.timeout(SEND_TIMEOUT_MS)]),
    });
    if (!response.ok) {
      await response.body?.cancel();
      throw new Error(`the edge answers ${response.status} to reports`);
    }
    const verdict = await verifyEnvelope("ack", await readLimited(response, MAX_ENVELOPE_BYTES.ack), {
      nowSeconds: Math.floor(nowMs() / 1_000),
      issuer: identity.edge,
      audience: identity.hostId,
      epoch: identity.epoch,
      keys: await importKeyset(journal.keyset()),
    });
    // Whoever stands between must not make this host forget what the edge has not heard.
    if (!verdict.ok) throw new Error(`the acknowledgement is refused: ${verdict.refusal.reason}`);
    const { reportHash, ackedSeq } = verdict.claims.ack;
    if (reportHash !== (await envelopeHash(body))) throw new Error("the acknowledgement is of another report");
    return ackedSeq;
  };
}

/** At most `limit` bytes and one more chunk: what is cut off no longer verifies. */
async function readLimited(response: Response, limit: number): Promise<string> {
  let bytes = Buffer.alloc(0);
  for await (const chunk of response.body ?? []) {
    bytes = Buffer.concat([bytes, chunk]);
    if (bytes.length > limit) break;
  }
  return bytes.toString("latin1");
}

function delay(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
    function done() {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
  });
}
