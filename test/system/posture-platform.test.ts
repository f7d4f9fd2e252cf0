import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { Account, expectStatus } from "../../stack/client.ts";
import { askPosture } from "../../stack/posture.ts";
import { type Platform, startPlatform } from "./platform.ts";

/** The whole way: the edge names its addresses, the host closes and attacks them, signs, and the owner reads it. */
const CONTROL_PLANE = { networks: ["151.101.1.8/30", "2001:db8:9::/48"], https: ["151.101.1.9/32"] };
let platform: Platform;
let ada: Account;
let tenantId: string;

beforeAll(async () => {
  platform = await startPlatform({ edge: { CONTROL_PLANE: JSON.stringify(CONTROL_PLANE) } });
  ada = new Account(platform.edge.dashboard, (name) =>
    name.endsWith(".agents.localhost") ? platform.server.address : null,
  );
  await ada.signUp({ email: "ada@example.com", password: "correct horse battery", name: "Ada" });
  const body = { name: "watched", runtime: "echo" };
  tenantId = expectStatus(await ada.api("/api/v1/tenants", { body }), 201, 202).json<{ id: string }>().id;
});
afterAll(() => platform?.stop());

const rules = () => platform.server.run("iptables-save", []);
const posture = async () =>
  expectStatus(await ada.api(`/api/v1/tenants/${tenantId}/posture`), 200).json<{
    posture: { held: number; breached: number; drift: Record<string, number> | null; attacks: { id: string }[] } | null;
  }>().posture;

test("the edge's addresses are closed on a running host, without a restart", async () => {
  await vi.waitFor(
    async () => {
      await platform.edge.tick();
      expect(await rules()).toMatch(/-d 151\.101\.1\.8\/30 .*chelar:control-plane/);
    },
    { timeout: 30_000, interval: 500 },
  );
  expect(await rules()).toMatch(/-d 151\.101\.1\.9\/32 .*chelar:exception/);
});

test("a run on that host holds every attack, and its owner reads it, signed, on page and API", async () => {
  expect(await posture()).toBeNull();
  const { runDir } = platform.host.place;
  const found = await askPosture(`${runDir}/operator.sock`);
  expect(found.attacks.filter(({ outcome }) => !["held", "not_managed"].includes(outcome))).toEqual([]);
  const ids = found.attacks.map(({ id }) => id);
  expect(ids).toEqual(expect.arrayContaining(["control-plane-151.101.1.10", "control-plane-https"]));
  await vi.waitFor(async () => expect((await posture())?.held).toBe(found.held), { timeout: 40_000, interval: 500 });
  expect(await posture()).toMatchObject({ breached: 0, drift: { iptables: expect.any(Number) } });
  const page = async (path: string) =>
    expectStatus(await ada.client.visit(`${platform.edge.dashboard}${path}`), 200).text;
  expect(await page(`/agents/${tenantId}`)).toMatch(/Moat.*attacks held/s);
  const walls = await page(`/agents/${tenantId}/walls`);
  for (const id of ids) expect(walls).toContain(`id="${id}"`);
});

test("a wall that somebody changes is put back, and the owner sees how often", async () => {
  const seen = async () => (await posture())?.drift?.iptables ?? 0;
  const before = await seen();
  await platform.server.run("iptables", ["-F", "CHELAR-FORWARD"]);
  await vi.waitFor(async () => expect(await seen()).toBeGreaterThan(before), { timeout: 40_000, interval: 500 });
  expect(await rules()).toContain("chelar:control-plane");
});
