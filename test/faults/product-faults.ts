import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { copyJournal } from "./journal-faults.ts";
import { type Action, insistOn, type Product } from "./product.ts";
import { emptyTally, eventually, insist, type Tally } from "./tally.ts";
import { WIRE_FAULTS } from "./wire.ts";

/** Scenarios on the whole product: the real edge, its database, a host with real containers. */

const HOST_AGENT = fileURLToPath(new URL("../../host-agent/main.ts", import.meta.url));
const LIFE: readonly Action[] = ["create", "restart", "stop", "start", "delete"];

/** Each delivery of an agent's life is lost, answered in vain, doubled, late, or overtaken by the next. */
export async function deliveriesFail(product: Product, brief: boolean): Promise<Tally> {
  const tally = emptyTally("deliveries lost, unanswered, doubled, late and overtaken");
  for (const [index, fault] of WIRE_FAULTS.entries()) {
    const name = `wire-${index}-${tally.kills}`;
    for (const action of brief ? (["create", "stop", "delete"] as const) : LIFE) {
      const { injected } = product.wire;
      product.wire.fault = fault;
      const acknowledged = await product.ask(action, name);
      await insist(`a fault of ${action}`, () => product.wire.injected > injected);
      await product.judge(tally, name, { action, acknowledged });
    }
  }
  // Said in one breath, and the first is still on the wire when the second arrives.
  await insistOn(product, "create", "in-one-breath");
  for (const [first, second] of [
    ["stop", "start"],
    ["restart", "stop"],
    ["start", "delete"],
  ] as const) {
    await eventually(async () => (await product.row("in-one-breath"))?.observedGeneration !== 0);
    product.wire.fault = "overtaken";
    await product.ask(first, "in-one-breath");
    const acknowledged = await product.ask(second, "in-one-breath");
    await product.judge(tally, "in-one-breath", { action: second, acknowledged });
  }
  return tally;
}

/** SIGKILL of the edge worker while a delivery is on the wire: before the host has heard it, and after. */
export async function edgeKilled(product: Product, brief: boolean): Promise<Tally> {
  const tally = emptyTally("edge killed in the middle of a delivery");
  for (const moment of ["before", "after"] as const) {
    for (const action of brief ? (["create", "delete"] as const) : LIFE) {
      const { injected } = product.wire;
      product.wire[moment] = () => product.platform.edge.restartWorker();
      const acknowledged = await product.ask(action, `edge-${moment}`);
      await insist("the death of the edge", () => product.wire.injected > injected);
      await insist("the edge's return", async () => (await fetch(`${product.platform.edge.dashboard}/healthz`)).ok);
      // A creation whose answer died with the edge is found, or asked for again, as a person would.
      if (action === "create" && !(await product.row(`edge-${moment}`))) {
        await insistOn(product, "create", `edge-${moment}`);
      }
      await product.judge(tally, `edge-${moment}`, { action, acknowledged });
    }
  }
  return tally;
}

/** The database does not answer for a while; owners go on asking. What they were promised holds, nothing is half. */
export async function databaseAway(product: Product, awayMs: number): Promise<Tally> {
  const tally = emptyTally(`database away for ${awayMs / 1_000} s`);
  for (const name of ["away-a", "away-b", "away-c"]) await insistOn(product, "create", name);
  for (const name of ["away-a", "away-b", "away-c"]) {
    await insist(`${name} running`, async () => (await product.row(name))?.observed === "running");
  }
  const asked = [
    { action: "stop", name: "away-a" },
    { action: "restart", name: "away-b" },
    { action: "delete", name: "away-c" },
    { action: "create", name: "away-d" },
  ] as const;
  const answers = asked.map(async ({ action, name }, index) => {
    // Some are at work when the database goes, some come while it is away.
    await sleep((index * awayMs) / 8);
    return product.ask(action, name, awayMs + 30_000);
  });
  await sleep(10);
  process.kill(product.platform.edge.databasePid, "SIGSTOP");
  try {
    await sleep(awayMs);
  } finally {
    process.kill(product.platform.edge.databasePid, "SIGCONT");
  }
  const acknowledged = await Promise.all(answers);
  for (const [index, { action, name }] of asked.entries()) {
    await product.judge(tally, name, { action, acknowledged: acknowledged[index] ?? null });
  }
  for (const { slug, purged, desired } of await product.rows()) {
    if (!purged && desired !== "deleted") await insistOn(product, "delete", slug);
  }
  await insist("the end of all agents", async () => (await product.rows()).every(({ purged }) => purged));
  return tally;
}

/**
 * A host's journal is put back from an old copy under the real edge: its operator is told, the host gets no word through
 * until it is enrolled again, and then all that was promised meanwhile. Before it, nothing raises that alert.
 */
export async function journalPutBack(product: Product): Promise<Tally> {
  const tally = emptyTally("journal put back under the real edge");
  const { edge, host, server } = product.platform;
  const { dir } = host.place;
  const name = "put-back";
  const operator = { authorization: `Bearer ${edge.operatorToken}` };
  const isTold = async () => {
    const response = await fetch(`${edge.dashboard}/api/v1/operator/alerts`, { headers: operator });
    const { alerts } = (await response.json()) as { alerts: { kind: string }[] };
    return alerts.some(({ kind }) => kind === "host_rolled_back");
  };
  const restartHost = async (between: () => unknown) => {
    await host.killAgent();
    await between();
    await host.startAgent();
  };
  const heard = (generation: number) =>
    insist(`generation ${generation}`, async () => (await product.row(name))?.observedGeneration === generation);
  await insistOn(product, "create", name);
  await heard(1);
  await restartHost(() => copyJournal(dir, "", "copy-of-"));
  await insistOn(product, "restart", name);
  await heard(2);
  const falselyTold = await isTold();
  await restartHost(() => copyJournal(dir, "copy-of-", ""));
  await insist("the operator's alert", isTold);
  const acknowledged = await product.ask("restart", name);
  await edge.tick();
  const held = (await product.row(name))?.observedGeneration === 2;
  const tokens = `${edge.dashboard}/api/v1/operator/hosts/tokens`;
  const { token } = (await (await fetch(tokens, { method: "POST", headers: operator })).json()) as { token: string };
  const enrol = [HOST_AGENT, "enrol", "--config", `${dir}/config.json`, "--token", token];
  await restartHost(() => server.run(process.execPath, enrol));
  await edge.tick();
  await product.judge(tally, name, { action: "restart", acknowledged });
  await product.judge(tally, name, { action: "delete", acknowledged: await product.ask("delete", name) });
  return held && !falselyTold && !(await isTold()) ? tally : { ...tally, converged: 0 };
}
