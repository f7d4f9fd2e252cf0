import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Command,
  type CommandOutcome,
  envelopeHash,
  freshClaims,
  generateSealingKey,
  generateSigningKey,
  importKeyset,
  importSealingKey,
  importSigningKey,
  keyId,
  newId,
  type PublicKeyset,
  publicPart,
  type Report,
  sealSecrets,
  signEnvelope,
  type TenantApply,
  verifyEnvelope,
} from "../schema/protocol/index.ts";
import { createCommandDesk } from "./commands.ts";
import type { Identity } from "./identity.ts";
import { openJournal } from "./journal.ts";
import { createLog, silentLog } from "./log.ts";
import { createRestore, createSpares, createSteps, createSupervisor, createUpgrades } from "./tenants/index.ts";
import { slotNetwork } from "./tenants/layout.ts";
import { type ModelHost, PLACE } from "./tenants/model-host.ts";
import { createTestimony } from "./testimony.ts";

const UID_BASE = 200_000;
const SLOTS = 8;
export const random = (bytes: number): Uint8Array => randomBytes(bytes);

/** The other side of the wire, with keys of its own: signs commands, opens results. */
export async function createTestEdge() {
  const signing = await generateSigningKey();
  const kid = await keyId(signing);
  const keyset: PublicKeyset = { version: 1, keys: [{ kid, x: signing.x }] };
  const privateKey = await importSigningKey(signing);
  const [hostSigning, hostSealing] = await Promise.all([generateSigningKey(), generateSealingKey()]);
  const identity: Identity = {
    signing: hostSigning,
    sealing: hostSealing,
    hostId: newId("hst"),
    epoch: 1,
    edge: "https://edge.test",
    keyset,
  };
  const hostKid = await keyId(hostSigning);
  const hostKeys = await importKeyset({ version: 1, keys: [{ kid: hostKid, x: hostSigning.x }] });
  const sealingKey = await importSealingKey(publicPart(hostSealing));

  return {
    identity,
    keyset,
    hostKeys,
    sign: (command: Command, nowMs: number, claims: { jti?: string; epoch?: number } = {}) =>
      signEnvelope(
        "command",
        {
          ...freshClaims(Math.floor(nowMs / 1_000), random(16)),
          iss: identity.edge,
          aud: identity.hostId,
          epoch: identity.epoch,
          command,
          ...claims,
        },
        { kid, privateKey },
      ),
    seal: async (tenantId: string, generation: number, env: Record<string, string>) =>
      sealSecrets({ tenantId, generation, env }, { kid: await keyId(hostSealing), publicKey: sealingKey }),
    async outcome(result: string | null, nowMs: number): Promise<CommandOutcome | null> {
      if (result === null) return null;
      const verdict = await verifyEnvelope("result", result, {
        nowSeconds: Math.floor(nowMs / 1_000),
        issuer: identity.hostId,
        audience: identity.edge,
        epoch: identity.epoch,
        keys: hostKeys,
      });
      if (!verdict.ok) throw new Error(`result refused: ${verdict.refusal.reason}`);
      return verdict.claims.result.outcome;
    },
    /** The edge's acknowledgement of a report, with whatever `claims` change about it. */
    ack: async (report: string, ackedSeq: number, claims: object = {}) =>
      signEnvelope(
        "ack",
        {
          ...freshClaims(Math.floor(Date.now() / 1_000), random(16)),
          iss: identity.edge,
          aud: identity.hostId,
          epoch: identity.epoch,
          ack: { reportHash: await envelopeHash(report), ackedSeq },
          ...claims,
        },
        { kid, privateKey },
      ),
  };
}
export type TestEdge = Awaited<ReturnType<typeof createTestEdge>>;

/** In memory where there is such a place: what a disk's fsync costs is measured elsewhere. */
const SCRATCH = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

/** A directory that is gone after the test. */
export function testDirectory(onFinished: (clean: () => void) => void): string {
  const directory = mkdtempSync(join(SCRATCH, "chelar-agent-"));
  onFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A journal that has been enrolled, and that the edge has confirmed. */
export function enrolledJournal(path: string, edge: TestEdge, onCommit?: () => void) {
  const journal = openJournal(path, onCommit);
  if (journal.epoch() === null) journal.adopt(edge.identity, UID_BASE);
  journal.confirm(0);
  return journal;
}

export interface TestAgentOptions {
  path: string;
  edge: TestEdge;
  host: ModelHost;
  before?: (call: string) => void;
  after?: (call: string) => void;
  nowMs?: () => number;
  onCommit?: () => void;
  slots?: number;
  /** Networks that stand ready. */
  spares?: number;
  backoff?: { firstMs: number; maxMs: number };
}

/** One process of the host agent, without its socket: the real journal, desk, supervisor and steps on a model host. */
export async function startTestAgent(options: TestAgentOptions) {
  const { path, edge, host, before, after, nowMs = Date.now, onCommit, slots = SLOTS } = options;
  const log = process.env.CHELAR_TEST_LOG ? createLog((line) => process.stderr.write(line)) : silentLog;
  const journal = enrolledJournal(path, edge, onCommit);
  const ports = host.ports(before ?? (() => {}), after ?? (() => {}));
  const sealingKey = await importSealingKey(edge.identity.sealing);
  const { containers } = ports;
  const networkOf = (slot: number) => slotNetwork(PLACE.pool, slot);
  const spares = createSpares({ count: options.spares ?? 0, slots, journal, containers, networkOf, log });
  const upgrades = createUpgrades({ ports, ...journal, log, nowMs });
  const steps = createSteps({
    ...PLACE,
    ports,
    upgrades,
    sealingKey,
    restore: createRestore({ ports, data: journal.data, log, nowMs }),
    isMoved: journal.tenants.isMoved,
    testify: createTestimony({ identity: edge.identity, nowMs }),
    place: spares.place,
  });
  // No jitter and short pauses: the order of events is tested, never their time.
  const supervisor = createSupervisor({
    journal,
    ports,
    steps,
    upgrades,
    log,
    nowMs,
    random: () => 0,
    backoff: options.backoff ?? { firstMs: 4, maxMs: 40 },
    onReached: spares.refillSoon,
  });
  const desk = await createCommandDesk({
    identity: edge.identity,
    journal,
    log: silentLog,
    nowMs,
    random,
    onAccepted(command) {
      if (command.type === "tenant.apply") supervisor.wake(command.tenant.id);
      if (command.type === "tenant.purge" || command.type === "tenant.halt") supervisor.wake(command.tenantId);
    },
  });
  const agent = {
    journal,
    supervisor,
    spares,
    desk,
    command: async (command: Command) => edge.outcome(await desk(await edge.sign(command, nowMs())), nowMs()),
    reports: (): Report[] => journal.reports.pending(100_000, Number.MAX_SAFE_INTEGER),
    states: (tenantId: string) =>
      agent.reports().flatMap((one) => (one.type === "tenant.state" && one.tenantId === tenantId ? [one.state] : [])),
    /** The process ends here and now: nothing of it reaches journal or host any more. */
    die() {
      journal.close();
      host.forgetProcess();
    },
    async stop() {
      await Promise.all([supervisor.stop(), spares.stop()]);
      agent.die();
    },
  };
  return agent;
}

export function applyCommand(tenantId: string, change: Partial<TenantApply> = {}): TenantApply {
  const slug = `agent-${tenantId.slice(4, 12)}`;
  return {
    type: "tenant.apply",
    tenant: {
      id: tenantId,
      slug,
      hostname: `${slug}.agents.test`,
      origin: `https://${slug}.agents.test`,
      ownerId: "usr_owner",
      runtime: "echo",
      limits: {
        memoryMiB: 128,
        cpuMillis: 500,
        pids: 32,
        diskMiB: 64,
        tmpMiB: 16,
        shmMiB: 16,
        requestsPerMinute: 600,
      },
    },
    generation: 1,
    desired: "running",
    restarts: 0,
    secretsJwe: null,
    ...change,
  };
}
