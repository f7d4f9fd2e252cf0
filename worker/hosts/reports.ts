import { and, eq, lte } from "drizzle-orm";
import { z } from "zod";
import { hosts, tenantEvents, tenants } from "../../schema/db/index.ts";
import { fromBase64url, hostId, type Report, type ReportClaims, verifyEnvelope } from "../../schema/protocol/index.ts";
import type { World } from "../clock.ts";
import {
  goneStatements,
  hasReceipt,
  leftoversStatement,
  moveDone,
  receiptStatements,
  storageStatement,
} from "../data/index.ts";
import { atomically, changedOne, type Database, insist, retryingGuards, type Statement } from "../db.ts";
import type { Config } from "../env.ts";
import type { News } from "../tenants/index.ts";
import { imageStatement, sampleStatements } from "../tenants/service.ts";
import { raiseAlert } from "./alerts.ts";
import { noteFitness } from "./fitness.ts";
import { ledgerStatement } from "./ledger.ts";
import { judgeJournal, wasAway } from "./rules.ts";
import { signFor } from "./sign.ts";
import { statusStatement } from "./status.ts";
import * as store from "./store.ts";

type Progress = Extract<Report, { type: "tenant.progress" }>;
type State = Extract<Report, { type: "tenant.state" }>;

type Journal = ReturnType<typeof judgeJournal>;

export type ReportAnswer =
  | { ok: true; ack: string; hostId: string; journal: Journal; isBack: boolean; answered: string[] }
  | { ok: false; why: string };

export interface ReportContext {
  db: Database;
  world: World;
  news: Pick<News, "heard">;
  config: Pick<Config, "dashboardOrigin" | "commandKeys">;
}

/**
 * Takes in what a host says. Who speaks is read from the message first, believed only when that host's own key has
 * signed it. Everything up to `reportSeq` has been seen: a repetition changes nothing and is acknowledged again.
 */
export async function takeReports({ db, world, config, news }: ReportContext, compact: string): Promise<ReportAnswer> {
  const claimed = unverifiedIssuer(compact);
  if (!claimed) return { ok: false, why: "malformed" };

  return retryingGuards(async () => {
    const host = await store.findHost(db, claimed);
    if (!host) return { ok: false, why: "host_unknown" };
    const verdict = await verifyEnvelope("report", compact, {
      nowSeconds: Math.floor(world.now() / 1000),
      issuer: host.id,
      audience: config.dashboardOrigin,
      epoch: host.epoch,
      keys: await store.signingKeysOf(host),
    });
    if (!verdict.ok) return { ok: false, why: verdict.refusal.reason };

    const { keyset, lastSeq, iat, reports } = verdict.claims;
    const heard = { lastSeq: host.reportSeq, signedAtSeconds: host.reportSignedAt };
    const journal = judgeJournal({ lastSeq, signedAtSeconds: iat }, heard);
    const isFresh = ({ seq }: Report) => journal === "newest" && seq > host.reportSeq;
    const fresh = reports.filter(isFresh).sort((a, b) => a.seq - b.seq);
    const ackedSeq = fresh.at(-1)?.seq ?? host.reportSeq;
    const now = world.now();
    const context = { db, world, config };
    // One that was overtaken says nothing new, and of its host's keys something old.
    if (journal !== "late") {
      const signedAt = journal === "newest" ? Math.max(iat, host.reportSignedAt) : host.reportSignedAt;
      await atomically(db, await statementsFor(context, host, { fresh, ackedSeq, signedAt, keyset, now }));
    }
    const inventory = fresh.findLast((report) => report.type === "host.inventory");
    if (inventory) await noteFitness(db, host, inventory, now);
    for (const report of fresh) if ("tenantId" in report) news.heard(report.tenantId);
    if (journal === "rolled_back") {
      const detail = `Its journal ends at ${lastSeq}, ${host.reportSeq} was heard of it: enrol this host again.`;
      await raiseAlert(db, { kind: "host_rolled_back", subject: host.id, detail }, now);
    }
    // Signed with a key that the host has just named: what our database remembers of it may be older.
    const signing = { world, edge: config.dashboardOrigin, keys: config.commandKeys };
    const ack = await signFor("ack", { ...host, keyset }, { ack: { reportHash: verdict.hash, ackedSeq } }, signing);
    const spokenOf = fresh.flatMap((report) => (report.type === "tenant.answered" ? [report.tenantId] : []));
    const answered = spokenOf.length === 0 ? [] : await store.tenantsOnHost(db, host.id, [...new Set(spokenOf)]);
    const isBack = wasAway(host.lastReportAt, now);
    return { ok: true, ack, hostId: host.id, journal, isBack, answered: answered.map(({ id }) => id) };
  });
}

/** One transaction: the numbers move on together with what they stand for. */
async function statementsFor(
  context: Pick<ReportContext, "db" | "world" | "config">,
  host: store.HostRow,
  {
    fresh,
    ackedSeq,
    signedAt,
    keyset,
    now,
  }: Pick<ReportClaims, "keyset"> & {
    fresh: Report[];
    ackedSeq: number;
    signedAt: number;
    now: number;
  },
): Promise<Statement[]> {
  const { db } = context;
  const spokenOf = new Set(fresh.flatMap((report) => ("tenantId" in report ? [report.tenantId] : [])));
  // A host may speak about its own tenants only: another's are as if they had not been mentioned.
  const own = new Map((await store.tenantsOnHost(db, host.id, [...spokenOf])).map((tenant) => [tenant.id, tenant]));

  const statements: Statement[] = [
    db
      .update(hosts)
      .set({ reportSeq: ackedSeq, reportSignedAt: signedAt, lastReportAt: now, keyset: JSON.stringify(keyset) })
      .where(and(eq(hosts.id, host.id), eq(hosts.epoch, host.epoch), eq(hosts.reportSeq, host.reportSeq))),
    insist(db, changedOne),
  ];
  const sworn = new Set<string>();
  /** Nothing ends on a bare word: without the signed one about what was looked at, it is asked for again. */
  const isVouched = async ({ tenantId, state }: State) =>
    state !== "purged" || sworn.has(tenantId) || (await hasReceipt(db, tenantId));
  for (const report of fresh) {
    switch (report.type) {
      case "tenant.progress":
        if (own.has(report.tenantId)) statements.push(progressStatement(db, host, report));
        break;
      case "tenant.state": {
        const tenant = own.get(report.tenantId);
        if (!tenant || !(await isVouched(report))) break;
        const taken = stateStatements(db, tenant, report, now);
        statements.push(...taken);
        // A host that was asked again says it twice in one breath.
        if (report.state === "purged" && taken.length > 0) own.set(tenant.id, { ...tenant, purgedAt: now });
        break;
      }
      case "tenant.storage":
        if (own.has(report.tenantId)) statements.push(storageStatement(db, report));
        break;
      case "tenant.status":
        if (own.has(report.tenantId)) {
          statements.push(statusStatement(db, report), ...sampleStatements(db, report, now));
        }
        break;
      case "tenant.image":
        if (own.has(report.tenantId)) statements.push(imageStatement(db, report));
        break;
      case "tenant.receipt": {
        const tenant = own.get(report.tenantId);
        const taken = tenant ? await receiptStatements(context, host, tenant, report) : [];
        if (taken.length > 0) sworn.add(report.tenantId);
        statements.push(...taken);
        break;
      }
      case "host.inventory":
        statements.push(
          db
            .update(hosts)
            .set({ inventory: JSON.stringify(report) })
            .where(eq(hosts.id, host.id)),
        );
        break;
      case "host.leftovers":
        statements.push(leftoversStatement(db, host.id, report, now));
        break;
      // No row: what was answered is fetched.
      case "tenant.answered":
        break;
      case "tenant.command":
        if (own.has(report.tenantId)) statements.push(ledgerStatement(db, host, report));
        break;
      case "host.posture":
        statements.push(
          db
            .update(hosts)
            .set({ posture: JSON.stringify(report) })
            .where(eq(hosts.id, host.id)),
        );
        break;
    }
  }
  return statements;
}

function progressStatement(db: Database, host: store.HostRow, report: Progress): Statement {
  const { tenantId, generation, at, step, status, detail, fraction, tookMs, seq } = report;
  return db
    .insert(tenantEvents)
    .values({
      ...{ tenantId, generation, at, step, status, detail, fraction, tookMs },
      // Numbers start anew with an epoch whose journal is new.
      hostId: `${host.id}/${host.epoch}`,
      hostSeq: seq,
    })
    .onConflictDoNothing();
}

/** A word about an older generation than one that was heard already changes nothing. */
function stateStatements(db: Database, tenant: store.TenantRow, report: State, now: number): Statement[] {
  const { id: tenantId, hostId: host } = tenant;
  const { generation, state, detail } = report;
  const isPurged = state === "purged";
  // Gone though nobody wished it, or a generation that was never given: not a word of a sound host.
  if (generation > tenant.generation || (isPurged && tenant.desired !== "deleted")) return [];
  if (generation < tenant.observedGeneration) return [];
  const observed = {
    observed: state,
    observedGeneration: generation,
    failure: state === "failed" ? (detail ?? "It failed without a reason.") : null,
  };
  const statements: Statement[] = [
    db
      .update(tenants)
      .set(observed)
      .where(and(eq(tenants.id, tenantId), lte(tenants.observedGeneration, generation))),
  ];
  if (state === "running" && generation === tenant.generation) statements.push(moveDone(db, tenantId, now));
  return isPurged
    ? [...statements, ...goneStatements(db, tenant, { now, actor: host, detail: { generation } })]
    : statements;
}

const payloadWithIssuer = z.object({ iss: hostId });

function unverifiedIssuer(compact: string): string | null {
  const payload = fromBase64url(compact.split(".")[1] ?? "");
  if (!payload) return null;
  try {
    return payloadWithIssuer.parse(JSON.parse(new TextDecoder().decode(payload))).iss;
  } catch {
    return null;
  }
}
