import { existsSync, mkdirSync } from "node:fs";
import { expect, it, onTestFinished } from "vitest";
import { newId, type UnnumberedReport } from "../../schema/protocol/index.ts";
import type { TenantRecord } from "../journal.ts";
import { testDirectory } from "../testing.ts";
import { startReaper } from "./index.ts";

const [living, buried, unknown] = [newId("tnt"), newId("tnt"), newId("tnt")];

function host() {
  const dir = testDirectory(onTestFinished);
  const [stateDir, runDir, ingressDir] = [`${dir}/state`, `${dir}/run`, `${dir}/caddy`];
  const certificate = (name: string) => `${ingressDir}/certificates/acme/${name}`;
  for (const id of [living, buried, unknown]) mkdirSync(`${stateDir}/volumes/${id}`, { recursive: true });
  mkdirSync(`${stateDir}/volumes/lost+found`);
  for (const name of ["ada.agents.test", "gone.agents.test", "wildcard_.agents.test"])
    mkdirSync(certificate(name), { recursive: true });
  const records = [
    { id: living, state: "running", spec: { hostname: "ada.agents.test" } },
    { id: buried, state: "purged", spec: null },
  ] as TenantRecord[];
  const reports: UnnumberedReport[] = [];
  const destroyed: string[] = [];
  const reaper = startReaper({
    journal: {
      tenants: {
        all: () => records.filter(({ state }) => state !== "purged"),
        get: (id) => records.find((record) => record.id === id),
      },
      reports: { add: (report: UnnumberedReport) => void reports.push(report) } as never,
    },
    ports: {
      volumes: { destroy: async ({ tenantId }: { tenantId: string }) => void destroyed.push(`volume ${tenantId}`) },
      copies: {
        list: async () => [living, unknown],
        destroy: async (id: string) => void destroyed.push(`copies ${id}`),
      },
      runtimes: { clearEnv: async () => {}, removeConfig: async () => {} },
    } as never,
    ...{ pool: "10.213.0.0/16", stateDir, runDir, ingressDir, nowMs: () => 1_000 },
    log: { info() {}, warn() {}, error() {} },
  });
  onTestFinished(() => reaper.stop());
  return { reaper, reports, destroyed, certificate };
}

it("tells what its journal does not know or has buried, and nothing of what lives or of what is no agent's", async () => {
  const { reaper, reports } = host();
  await reaper.look();
  const [report] = reports;
  if (report?.type !== "host.leftovers") throw new Error("no leftovers were told");
  const told = report.items.map(({ kind, name }) => `${kind} ${name}`).sort();
  const wanted = [`directory ${buried}`, `directory ${unknown}`, `copies ${unknown}`, "certificate gone.agents.test"];
  expect(told).toEqual(wanted.sort());
});

it("removes what the edge says is nobody's, but nothing of whom its journal knows", async () => {
  const { reaper, reports, destroyed, certificate } = host();
  await reaper.reap([
    { kind: "directory", name: unknown },
    { kind: "copies", name: unknown },
    { kind: "directory", name: living },
    { kind: "copies", name: living },
    { kind: "certificate", name: "ada.agents.test" },
    { kind: "certificate", name: "gone.agents.test" },
  ]);
  expect(destroyed).toEqual([`volume ${unknown}`, `copies ${unknown}`]);
  expect([existsSync(certificate("ada.agents.test")), existsSync(certificate("gone.agents.test"))]).toEqual([
    true,
    false,
  ]);
  expect(reports).toHaveLength(1);
});
