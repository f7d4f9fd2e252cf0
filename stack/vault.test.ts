import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { toBase64url } from "../schema/protocol/index.ts";
import { fingerprintOf } from "../worker/vault/envelope.ts";
import { type Keyring, parseKeyring, ringText } from "../worker/vault/rules.ts";
import { type RingStore, rotate } from "./vault.ts";
import { nextStep, type VaultPass, type VaultStatus } from "./vault-rotation.ts";

const key = () => new Uint8Array(randomBytes(32));
const ringOf = (text: string): Keyring => {
  const parsed = parseKeyring(text);
  if (!parsed.ok) throw new Error(parsed.refusal);
  return parsed.ring;
};

/**
 * An edge as the command sees it, that dies with the command at its n-th action: before it, or after it and before the
 * answer. Secrets are the versions that they are under; `sealsLate`: a Worker with the older ring, once, after that step.
 */
function createEdge({ secrets = 7, sealsLate = null as "verify" | "raise_floor" | null } = {}) {
  let stored = ringText({ current: 1, floor: 1, keys: new Map([[1, key()]]) }, toBase64url);
  let deployed = ringOf(stored);
  let held = Array.from({ length: secrets }, () => 1);
  let late = sealsLate;
  let [actions, dieAt, dieBefore] = [0, Number.POSITIVE_INFINITY, true];
  const act = <T>(work: () => T): T => {
    actions += 1;
    if (actions === dieAt && dieBefore) throw new Error("killed");
    const result = work();
    if (actions === dieAt) throw new Error("killed");
    return result;
  };
  const isReadable = (version: number) => version >= deployed.floor && deployed.keys.has(version);
  const unreadableOnes = () =>
    held.flatMap((version, at): [string, string][] => (isReadable(version) ? [] : [["t", `${at}`]]));
  /** By a Worker that has not heard of the new ring yet. */
  const sealLate = (after: typeof late) => {
    if (late !== after) return;
    held.push(1);
    late = null;
  };
  const store: RingStore = {
    read: () => stored,
    write: (text) =>
      act(() => {
        stored = text;
        if (ringOf(text).floor > 1) sealLate("raise_floor");
      }),
    deploy: null,
  };
  const pass = (work: () => Omit<VaultPass, "next">) => async () => act(() => ({ ...work(), next: null }));
  const vault = {
    async status(): Promise<VaultStatus> {
      deployed = ringOf(stored);
      const { current, floor, keys } = deployed;
      const known = [...keys].map(async ([version, bytes]) => ({
        ...{ version, fingerprint: await fingerprintOf(bytes), wraps: 0, erased: 0 },
        secrets: held.filter((one) => one === version).length,
      }));
      const stale = held.filter((version) => version !== current).length;
      return { current, floor, keys: await Promise.all(known), stale, warnings: [] };
    },
    sweep: pass(() => {
      const unreadable = unreadableOnes();
      held = held.map((version) => (isReadable(version) ? deployed.current : version));
      return { done: held.length - unreadable.length, unreadable };
    }),
    verify: pass(() => {
      const unreadable = unreadableOnes();
      sealLate("verify");
      return { done: held.length - unreadable.length, unreadable };
    }),
  };
  return {
    vault,
    store,
    /** Everything can be read by the edge as it is, or as it will be with the ring that is stored. */
    lost: () => held.filter((version) => !ringOf(stored).keys.has(version)).length,
    ring: () => ringOf(stored),
    held: () => held,
    plant: (version: number) => held.push(version),
    live(from: { dieAt: number; before: boolean } | null) {
      [actions, dieAt, dieBefore] = [0, from?.dieAt ?? Number.POSITIVE_INFINITY, from?.before ?? true];
    },
  };
}
const run = (edge: ReturnType<typeof createEdge>, said: string[] = []) =>
  rotate(edge.vault, edge.store, { waitSeconds: 5, say: (line) => said.push(line) });

describe("a rotation of the vault", () => {
  test("ends with one key, above the one before, with everything under it and the floor at it", async () => {
    const edge = createEdge();
    const said: string[] = [];
    expect(await run(edge, said)).toBe(0);
    expect(edge.ring()).toMatchObject({ current: 2, floor: 2 });
    expect([...edge.ring().keys.keys()]).toEqual([2]);
    expect(new Set(edge.held())).toEqual(new Set([2]));
    expect(said.filter((line) => /^\d\/6/.test(line)).map((line) => line.slice(0, 3))).toEqual([
      "1/6",
      "2/6",
      "3/6",
      "4/6",
      "5/6",
      "6/6",
    ]);
  });

  test("killed at every action, before it and after it: nothing is lost, and the same command completes it", async () => {
    let kills = 0;
    for (const before of [true, false]) {
      for (let dieAt = 1; ; dieAt++) {
        const edge = createEdge();
        edge.live({ dieAt, before });
        const died = await run(edge).then(
          () => false,
          () => true,
        );
        expect(edge.lost()).toBe(0);
        if (!died) break;
        kills += 1;
        edge.live(null);
        await run(edge);
        expect(edge.lost()).toBe(0);
        const { current, floor, keys } = edge.ring();
        expect([floor, [...keys.keys()]]).toEqual([current, [current]]);
        expect(new Set(edge.held())).toEqual(new Set([current]));
      }
    }
    console.log(`rotation: killed ${kills} times`);
    expect(kills).toBeGreaterThanOrEqual(12);
  });

  test.each(["verify", "raise_floor"] as const)(
    "keeps the old key when a Worker with the older ring has sealed after %s, and goes round once more",
    async (sealsLate) => {
      const edge = createEdge({ sealsLate });
      const said: string[] = [];
      await run(edge, said);
      expect(edge.lost()).toBe(0);
      expect(said.join("\n").match(/wrapped anew/g)).toHaveLength(2);
      expect(new Set(edge.held())).toEqual(new Set([2]));
    },
  );

  test("retires nothing while a single secret cannot be read, and names it", async () => {
    const edge = createEdge();
    edge.plant(9);
    await expect(run(edge)).rejects.toThrow("1 secrets cannot be read, so no key is retired: t 7");
    expect(edge.ring().keys.has(1)).toBe(true);
  });
});

describe("a ring that the edge does not have as it is stored", () => {
  const ring = {
    current: 2,
    floor: 1,
    fingerprints: new Map([
      [1, "one"],
      [2, "two"],
    ]),
  };
  const key = (version: number, fingerprint: string | null) => ({
    version,
    fingerprint,
    secrets: 0,
    wraps: 0,
    erased: 0,
  });
  const same: VaultStatus = { current: 2, floor: 1, keys: [key(1, "one"), key(2, "two")], stale: 0, warnings: [] };

  test("is deployed before anything else is done with it: a key is used, or destroyed, only where all Workers have it", () => {
    expect(nextStep(ring, same, false)).toEqual({ step: "verify" });
    for (const change of [
      { current: 1 },
      { floor: 2 },
      { keys: [key(2, "two")] },
      { keys: [key(1, "one"), key(2, null)] },
      { keys: [key(1, "one"), key(2, "another")] },
      { keys: [key(1, "one"), key(2, "two"), key(3, "three")] },
    ]) {
      for (const isVerified of [true, false]) {
        const step = nextStep(ring, { ...same, ...change }, isVerified);
        expect(step, JSON.stringify(change)).toEqual({ step: "deploy" });
      }
    }
  });
});
