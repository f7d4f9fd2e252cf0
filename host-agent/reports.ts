import { z } from "zod";
import {
  ENVELOPE_CONTENT_TYPE,
  freshClaims,
  importSigningKey,
  keyId,
  REPORT_PATH,
  type Report,
  signEnvelope,
} from "../schema/protocol/index.ts";
import type { Identity } from "./identity.ts";
import type { Journal } from "./journal.ts";
import { describeError, type Log } from "./log.ts";
import { backoffMs, createBell } from "./waiting.ts";

const MAX_BATCH = 100;
/** base64url makes 4 bytes of 3, and header, signature and claims come on top: 45 kB stay below 64 KiB. */
const MAX_BATCH_BYTES = 45_000;
const SEND_TIMEOUT_MS = 15_000;
const BACKOFF = { firstMs: 250, maxMs: 30_000 };

const answer = z.object({ ackedSeq: z.int().min(0) });

export interface ReportSenderOptions {
  journal: Pick<Journal, "reports" | "markRolledBack">;
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
 * goes with the next batch, so that a slow edge gets fewer and larger ones.
 */
export function startReportSender(options: ReportSenderOptions): ReportSender {
  const { journal, log } = options;
  const bell = createBell();
  const ending = new AbortController();
  journal.reports.onNew(bell.ring);

  async function run(): Promise<void> {
    const send = await createSend(options, ending.signal);
    let failures = 0;
    while (!ending.signal.aborted) {
      // The journal's failure is one like the edge's: a disk that fails a read must not silence this host for good.
      try {
        const batch = journal.reports.pending(MAX_BATCH, MAX_BATCH_BYTES);
        if (batch.length === 0) {
          await bell.wait();
          continue;
        }
        take(await send(batch), batch);
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

  function take(ackedSeq: number, batch: readonly Report[]): void {
    if (ackedSeq > journal.reports.lastSeq()) {
      journal.markRolledBack();
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
  return async (reports: Report[]): Promise<number> => {
    const body = await signEnvelope(
      "report",
      {
        ...freshClaims(Math.floor(nowMs() / 1_000), random(16)),
        iss: identity.hostId,
        aud: identity.edge,
        epoch: identity.epoch,
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
    return answer.parse(await response.json()).ackedSeq;
  };
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
