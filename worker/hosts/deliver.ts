import {
  COMMAND_PATH,
  type Command,
  type CommandOutcome,
  ENVELOPE_CONTENT_TYPE,
  envelopeHash,
  MAX_ENVELOPE_BYTES,
  verifyEnvelope,
} from "../../schema/protocol/index.ts";
import type { World } from "../clock.ts";
import { heldOf } from "../command-keys.ts";
import { atomically, type Database, isGuardFailure, type Statement } from "../db.ts";
import type { Config } from "../env.ts";
import { readLimited } from "../http.ts";
import { isOwnersName } from "../vault/rules.ts";
import { markDelivered as markSecretDelivered } from "../vault/service.ts";
import { raiseAlert, resolveAlert } from "./alerts.ts";
import { buildCommand, type CommandConfig } from "./command.ts";
import { heldBy, hostWord, raiseHostGeneration, refreshHost } from "./host-word.ts";
import { overtakingGeneration, retryDelayMs } from "./rules.ts";
import { signFor } from "./sign.ts";
import * as store from "./store.ts";

const TIMEOUT_MS = 10_000;

export interface DeliveryContext {
  db: Database;
  world: World;
  fetch: typeof fetch;
  /** Hosts that did not answer in this round. They are not waited for again: all others, and other rooms, wait with us. */
  silent?: Set<string>;
  config: CommandConfig & Pick<Config, "commandKeys">;
}

/** Why a command did not get into a host's journal; the code stands in the outbox row. */
export type DeliveryFailure =
  | "host_unreachable"
  | "host_refused"
  | "result_invalid"
  | "secret_unreadable"
  | "journal_unavailable"
  | "tenant_purged"
  | "jti_reused"
  | "keyset_stale"
  /** Something of ours broke; the log has its words. */
  | "unforeseen";

type Sent = { ok: true; outcome: CommandOutcome } | { ok: false; failure: DeliveryFailure };

/**
 * Tells a tenant's host the newest word about it. At-least-once and idempotent: two deliveries at once do no harm,
 * since the host takes a generation once and this side marks rows only up to the generation that it has sent.
 */
export async function deliverTenant(context: DeliveryContext, tenantId: string): Promise<"delivered" | "failed"> {
  const { db, world } = context;
  const found = await store.readTenantForDelivery(db, tenantId);
  if (!found) return "delivered";
  const { tenant } = found;
  const about = { hostId: tenant.hostId, tenantId };
  const host = await store.findHost(db, tenant.hostId);
  if (!host) return failed(context, about, "host_unreachable");

  const built = await buildCommand(found, host, context.config);
  const sent: Sent = built.ok ? await send(context, host, built.command) : { ok: false, failure: built.reason };
  if (!sent.ok) return failed(context, about, sent.failure);

  const { outcome } = sent;
  const done = async () => {
    const now = world.now();
    const secrets = tenant.desired === "deleted" ? [] : found.secrets;
    await atomically(db, [
      store.markDelivered(db, { ...about, upTo: tenant.generation }, now),
      ...deliveredStatements(db, tenant, secrets, now),
    ]);
  };
  switch (outcome.status) {
    case "accepted":
    case "already_applied":
      await done();
      return "delivered";
    case "refused":
      switch (outcome.reason) {
        case "generation_stale":
        case "generation_conflict": {
          const generation = overtakingGeneration(tenant.generation, outcome.have ?? 0);
          if (generation === null) return failed(context, about, "result_invalid");
          await overtake(context, tenant, generation, outcome);
          return "failed";
        }
        case "tenant_purged":
          // What the host has destroyed, and proven so, cannot be purged again: nothing is left to say.
          if (tenant.desired === "deleted") {
            await done();
            return "delivered";
          }
          return failed(context, about, outcome.reason);
        case "journal_unavailable":
        case "jti_reused":
        case "keyset_stale":
          return failed(context, about, outcome.reason);
      }
  }
}

/** Who has held which version of a key, and since when. */
function deliveredStatements(
  db: Database,
  { id, hostId, generation }: store.TenantRow,
  secrets: readonly { tenantId: string; name: string; version: number }[],
  now: number,
): Statement[] {
  const owners = secrets.filter(({ name }) => isOwnersName(name));
  if (owners.length === 0) return [];
  const versions = Object.fromEntries(owners.map(({ name, version }) => [name, version]));
  const detail = JSON.stringify({ hostId, generation, versions });
  return [
    ...owners.map((secret) => markSecretDelivered(db, secret, now)),
    store.insertAudit(db, { at: now, actor: "system", action: "secret.deliver", subject: id, detail }),
  ];
}

/**
 * The host knows a newer generation than ours, or another content of the same: our database was restored, or limits
 * changed under a generation. The desired state stays; it gets a generation above everything the host has seen.
 */
async function overtake(
  { db, world }: DeliveryContext,
  tenant: store.TenantRow,
  generation: number,
  { reason, have = 0 }: { reason: string; have?: number },
): Promise<void> {
  const now = world.now();
  try {
    await atomically(db, [
      ...store.raiseGeneration(db, tenant, generation, now),
      store.insertAudit(db, {
        at: now,
        actor: "system",
        action: "drift.overtake",
        subject: tenant.id,
        detail: JSON.stringify({ reason, from: tenant.generation, have, to: generation }),
      }),
      store.announce(db, { hostId: tenant.hostId, tenantId: tenant.id, generation }, now),
    ]);
  } catch (error) {
    // Somebody has changed it meanwhile: theirs is the newest word, and it is in the outbox.
    if (!isGuardFailure(error)) throw error;
  }
}

/** Ends or destroys an agent that the edge does not know; nothing waits in the outbox: the next inventory tells of it again. */
export async function tellStranger(
  context: DeliveryContext,
  host: store.HostRow,
  word: Extract<Command, { type: "tenant.halt" | "tenant.purge" }>,
): Promise<boolean> {
  const sent = await send(context, host, { ...word, generation: word.generation + 1 });
  return sent.ok && sent.outcome.status !== "refused";
}

/** What is done at once or asked again: nothing waits in the outbox. */
export async function tellNow(
  context: DeliveryContext,
  host: store.HostRow,
  command: Extract<Command, { type: "host.reap" | "host.probe" }>,
): Promise<boolean> {
  const sent = await send(context, host, command);
  return sent.ok && sent.outcome.status !== "refused";
}

/** Tells a host the newest word about itself. New keys arrive signed by one that it knows. */
export async function deliverHost(context: DeliveryContext, hostId: string): Promise<"delivered" | "failed"> {
  const { db, world, config } = context;
  const about = { hostId, tenantId: null };
  const row = await store.findHost(db, hostId);
  if (!row) return "delivered";
  const word = hostWord(config);
  const host = await refreshHost({ db, nowMs: world.now(), word }, row);
  if (!host) return "failed";
  const sent = await send(context, host, { type: "host.apply", generation: host.generation, ...word });
  if (!sent.ok) return failed(context, about, sent.failure);
  const { outcome } = sent;
  if (outcome.status !== "refused") {
    await atomically(db, [
      store.rememberKeyset(db, host, heldOf(word.keyset)),
      store.markDelivered(db, { ...about, upTo: host.generation }, world.now()),
      resolveAlert(db, "keyset_behind", hostId, world.now()),
    ]);
    return "delivered";
  }
  switch (outcome.reason) {
    case "generation_stale":
    case "generation_conflict": {
      const generation = overtakingGeneration(host.generation, outcome.have ?? 0);
      if (generation === null) return failed(context, about, "result_invalid");
      await raiseHostGeneration({ db, nowMs: world.now() }, host, { generation, desiredHash: host.desiredHash });
      return "failed";
    }
    case "keyset_stale": {
      const detail = `It holds keyset ${outcome.have}, this edge has ${word.keyset.version}: run \`host rotate-keys\`.`;
      await raiseAlert(db, { kind: "keyset_behind", subject: hostId, detail }, world.now());
      return failed(context, about, outcome.reason);
    }
    case "journal_unavailable":
    case "jti_reused":
    case "tenant_purged":
      return failed(context, about, outcome.reason);
  }
}

export async function failed(
  { db, world }: DeliveryContext,
  about: { hostId: string; tenantId: string | null },
  error: DeliveryFailure,
): Promise<"failed"> {
  const attempts = (await store.attemptsOf(db, about))[0]?.attempts ?? 0;
  const random01 = (world.random(1)[0] as number) / 255;
  const nextAttemptAt = world.now() + retryDelayMs(attempts, random01);
  await store.markFailed(db, about, { error, nextAttemptAt });
  return "failed";
}

/** Signs, posts, and believes nothing but the host's signed result about exactly these bytes. */
async function send(context: DeliveryContext, host: store.HostRow, command: Command): Promise<Sent> {
  const { world, config, silent } = context;
  if (silent?.has(host.id)) return { ok: false, failure: "host_unreachable" };
  const nowSeconds = () => Math.floor(world.now() / 1000);
  const signing = { world, edge: config.dashboardOrigin, keys: config.commandKeys };
  const addressee = { id: host.id, epoch: host.epoch, keyset: heldBy(host) };
  const compact = await signFor("command", addressee, { command }, signing);

  let answer: string;
  try {
    const response = await context.fetch(`${host.endpoint}${COMMAND_PATH}`, {
      method: "POST",
      headers: { "content-type": ENVELOPE_CONTENT_TYPE },
      body: compact,
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (response.status !== 200) {
      await response.body?.cancel();
      return { ok: false, failure: response.status === 403 ? "host_refused" : "host_unreachable" };
    }
    answer = await readLimited(response, MAX_ENVELOPE_BYTES.result);
  } catch {
    silent?.add(host.id);
    return { ok: false, failure: "host_unreachable" };
  }
  const verdict = await verifyEnvelope("result", answer, {
    nowSeconds: nowSeconds(),
    issuer: host.id,
    audience: config.dashboardOrigin,
    epoch: host.epoch,
    keys: await store.signingKeysOf(host),
  });
  if (!verdict.ok || verdict.claims.result.commandHash !== (await envelopeHash(compact))) {
    const why = verdict.ok ? "another command's result" : verdict.refusal.reason;
    console.warn(JSON.stringify({ event: "result_refused", host: host.id, why }));
    return { ok: false, failure: "result_invalid" };
  }
  return { ok: true, outcome: verdict.claims.result.outcome };
}
