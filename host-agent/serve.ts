import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Command, importSealingKey } from "../schema/protocol/index.ts";
import { createAsking } from "./asking/index.ts";
import { startBounds } from "./bounds/index.ts";
import { createCommandDesk } from "./commands.ts";
import type { HostConfig } from "./config.ts";
import { createAim } from "./control-plane.ts";
import { hostPorts } from "./drivers.ts";
import { journalPath } from "./enrol.ts";
import { createExporter } from "./export/index.ts";
import { createGuard, hostRun, watchKernel } from "./firewall/index.ts";
import { type Identity, readIdentity } from "./identity.ts";
import { createIngress } from "./ingress/index.ts";
import { type Journal, openJournal, type TenantRecord } from "./journal.ts";
import { startKeeping } from "./keeping.ts";
import { describeError, type Log } from "./log.ts";
import { createHostMetrics } from "./metrics/index.ts";
import { createDoor, openDoor, postureReport, removeLeftovers, runPosture, tenantSlots } from "./posture/index.ts";
import { startReaper } from "./reaper/index.ts";
import { startReportSender } from "./reports.ts";
import { startRounds } from "./rounds.ts";
import { startConfigGuard, startPruning } from "./runtimes/index.ts";
import { createServer, listen } from "./server.ts";
import { createMeter, createSlumber, metering } from "./sleep/index.ts";
import { startStatus } from "./status/index.ts";
import { ensureMemoryBacked } from "./storage/index.ts";
import {
  createRestore,
  createSpares,
  createSteps,
  createSupervisor,
  createUpgrades,
  openSealed,
  placedTenant,
  prebuildImages,
} from "./tenants/index.ts";
import { parsePool, slotNetwork, type Tenant } from "./tenants/layout.ts";
import { createTestimony } from "./testimony.ts";
import { withinMs } from "./waiting.ts";

const EDGE_ANSWERS_WITHIN_MS = 5_000;
const STOP_WITHIN_MS = 10_000;

const nowMs = () => Date.now();
const random = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes));

/** Wires and starts the whole agent. Throws one sentence when it cannot; resolves when it takes commands. */
export async function serve(
  config: HostConfig,
  log: Log,
  hooks: { onCommit?: () => void } = {},
): Promise<{ stop(): Promise<void> }> {
  const identity = readIdentity(config.stateDir);
  const journal = openJournal(journalPath(config), hooks.onCommit);
  requireSameEpoch(identity, journal);
  mkdirSync(config.runDir, { recursive: true, mode: 0o755 });
  await ensureMemoryBacked(join(config.runDir, "env"));

  let routed = false;
  const agentSocket = join(config.runDir, "agent.sock");
  const asking = createAsking({
    socketPath: agentSocket,
    async ask(tenantId, question, key) {
      const record = journal.tenants.get(tenantId);
      if (!record?.spec) throw new Error("nobody lives here");
      return ports.runtimes.answer(tenantOf(record), question, key);
    },
    onAnswer: (tenantId) => void journal.reports.add({ type: "tenant.answered", at: nowMs(), tenantId }),
  });
  const streamSocket = join(config.runDir, "streams.sock");
  const ingress = createIngress({
    isReady: () => routed,
    asking,
    admits: (tenantId, limit) => meter.admits(tenantId, limit),
    streamSocket,
    edgeUrl: config.edgeUrl,
    hostKey: `${identity.hostId}.${identity.ingress ?? ""}`,
    onCut: (hostname, why) => log.info("stream.cut", { hostname, why }),
  });
  const ports = hostPorts(config, identity.hostId, ingress.gate, log);
  const sealingKey = await importSealingKey(identity.sealing);
  // The last places of the pool are the canaries'.
  const slots = tenantSlots(parsePool(config.pool).slots);
  const spares = createSpares({
    count: config.spareNetworks,
    slots,
    journal,
    containers: ports.containers,
    networkOf: (slot) => slotNetwork(config.pool, slot),
    log,
  });
  const upgrades = createUpgrades({ ports, ...journal, log, nowMs });
  const steps = createSteps({
    ...config,
    ports,
    upgrades,
    sealingKey,
    restore: createRestore({ ports, data: journal.data, log, nowMs }),
    isMoved: journal.tenants.isMoved,
    testify: createTestimony({ identity, nowMs }),
    place: spares.place,
  });
  const placed = new WeakMap<TenantRecord, Tenant>();
  const tenantOf = (record: TenantRecord) => {
    const tenant = placed.get(record) ?? placedTenant(record, config);
    placed.set(record, tenant);
    return tenant;
  };
  const slumber = createSlumber({ ports, nowMs, tenantOf });
  const bounds = startBounds({ journal, tenantOf, run: hostRun(), log, nowMs });
  const status = startStatus({ bounds, journal, ...ports, gate: ingress.gate, tenantOf, log, nowMs });
  const configs = startConfigGuard({ journal, ...ports, tenantOf, log, nowMs });
  const pruning = startPruning({ journal, docker: ports.docker, log });
  const meter = createMeter(metering({ journal, ports, tenantOf }));
  const supervisor = createSupervisor({
    journal,
    ports,
    steps,
    slumber,
    upgrades,
    log,
    nowMs,
    random: Math.random,
    onReached(tenantId) {
      spares.refillSoon();
      keeping.reached(tenantId);
    },
  });
  const guard = createGuard({
    walls: ports.walls,
    watches: [watchKernel()],
    onDrift: ({ wall, differences, failure }) => {
      log.warn("wall.drift", { wall, differences: differences.slice(0, 5).join("; "), failure });
      rounds.reportSoon();
    },
  });
  const aim = createAim({ journal, firewall: ports.firewall, guard, log });
  const keyOf = async (record: TenantRecord) => (await openSealed(record, sealingKey)).volumeKey ?? null;
  const keeping = startKeeping({ journal, ports, tenantOf, log, nowMs, keyOf });
  const { volumes } = ports;
  const exporter = createExporter({ ...config, identity, journal, volumes, tenantOf, keyOf, log, nowMs });
  const rounds = startRounds(config, journal, ports, supervisor, guard, log);
  const reports = startReportSender({ journal, identity, edgeUrl: config.edgeUrl, log, nowMs, random });

  const reaper = startReaper({ ...config, journal, ports, log, nowMs });

  const onAccepted = (command: Command) => {
    switch (command.type) {
      case "tenant.apply":
        return supervisor.wake(command.tenant.id);
      case "tenant.purge":
      case "tenant.halt":
        return supervisor.wake(command.tenantId);
      case "host.reap":
        return void reaper.reap(command.items);
      case "host.probe":
        void reaper.look();
        return rounds.report();
      case "host.apply":
        return void aim.refresh();
    }
  };
  const command = await createCommandDesk({ identity, journal, log, nowMs, random, onAccepted });
  const server = createServer({
    command,
    gate: (request, response) => void (exporter.handle(request, response) || ingress.handle(request, response)),
    log,
  });
  await listen(ingress.streams.server, streamSocket, config.socketGroupId);
  await listen(server, agentSocket, config.socketGroupId);

  const ours = config.perimeter !== undefined;
  const managed = { cloud: config.cloudWall, ufw: ours, modules: ours };
  const postureOptions = { ...config, hostId: identity.hostId, docker: ports.docker, managed, controlPlane: null };
  const cleared = removeLeftovers(postureOptions).catch((error) =>
    log.warn("posture.leftovers", { error: describeError(error) }),
  );

  /** What is signed is always a full run; whoever asked for it hears the same. */
  async function posture(onProgress: Parameters<typeof runPosture>[1]) {
    const begun = nowMs();
    await cleared;
    await ports.images.ensure("echo", () => {});
    const verdict = await runPosture({ ...postureOptions, controlPlane: journal.controlPlane() }, onProgress);
    const { held, breached, unproven } = verdict;
    journal.reports.add(postureReport(verdict, begun, nowMs() - begun));
    log.info("posture", { held, breached, unproven, tookMs: nowMs() - begun });
    return verdict;
  }

  const door = createDoor({ run: posture, log, metrics: createHostMetrics({ journal, guard, ...config, nowMs }) });
  await openDoor(door, join(config.runDir, "operator.sock"));
  log.info("serving", { host: identity.hostId, epoch: identity.epoch, keyset: journal.keyset().version });

  const resume = async () => {
    // First, and not held up by an engine that is away: what it left running needs its walls all the same. One that
    // does not stand yet is told and tried again; no tenant starts before the supervisor has read its own back.
    await guard.start().catch((error) => log.error("walls.not_standing", { error: describeError(error) }));
    // An old copy of the journal would make agents again that were deleted since. The edge knows better; where it does not
    // answer, what was at work on this host has to be at work again all the same.
    if ((await withinMs(journal.verdict, EDGE_ANSWERS_WITHIN_MS)) === false) {
      log.error("tenants.not_resumed", { why: "the journal is an old copy", hint: "enrol this host again" });
      return;
    }
    await supervisor.start();
    routed = true;
    spares.refillSoon();
    log.info("tenants.resumed", { count: journal.tenants.all().length });
  };
  resume().catch((error) => log.error("tenants.unresumed", { error: describeError(error) }));
  void prebuildImages(ports.images, config.prebuild, log, rounds.reportSoon);

  return {
    async stop() {
      server.close();
      door.close();
      server.closeIdleConnections();
      ingress.stop();
      rounds.stop();
      status.stop();
      bounds.stop();
      configs.stop();
      pruning.stop();
      const stopped = Promise.all([
        exporter.stop(),
        reaper.stop(),
        keeping.stop(),
        supervisor.stop(),
        spares.stop(),
        reports.stop(),
        guard.stop(),
      ]);
      // A step may wait long for the engine; whatever it did is found again at the next start.
      await Promise.race([stopped, new Promise((resolve) => setTimeout(resolve, STOP_WITHIN_MS))]);
      journal.close();
    },
  };
}

/** An identity without its journal, or with an old copy of it, knows too little to be trusted with tenants. */
function requireSameEpoch(identity: Identity, journal: Journal): void {
  const epoch = journal.epoch();
  if (epoch === identity.epoch) return;
  journal.close();
  throw new Error(
    `the journal is of epoch ${epoch ?? "none"}, this host of epoch ${identity.epoch}: enrol this host again`,
  );
}
