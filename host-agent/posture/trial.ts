import { probe } from "./attacks/probes.ts";
import { DECOY, type Ground, WORLD } from "./ground.ts";
import {
  type Arrivals,
  type Attack,
  type Attempt,
  type Position,
  type Receiver,
  type Row,
  rowOf,
  type Seen,
  type Unmanaged,
} from "./rules.ts";
import type { Receiving } from "./tools.ts";

export type Progress = (note: { fraction: number; detail: string }) => void;

/** Runs attempts from where an attacker stands. */
export type Crew = (from: Position, attempts: ReadonlyMap<string, Attempt>) => Promise<Map<string, Seen>>;

export interface Scene {
  crew: Crew;
  receivers: ReadonlyMap<Receiver, Receiving>;
  neighbour: Ground["neighbour"];
}

export const isAttack = (row: Attack | Unmanaged): row is Attack => "judge" in row;

export function targetsAt(attacks: readonly (Attack | Unmanaged)[], at: Receiver): string[] {
  const keys = attacks.flatMap((row) => (isAttack(row) && row.target?.at === at ? [row.target.key] : []));
  return [...new Set([...keys, ...(at === "world" ? [ALLOWED.key] : [])])];
}

/** What a tenant may do: if even this does not arrive, nothing that does not arrive is proven to be stopped. */
const ALLOWED = { key: `tcp ${WORLD.web} 443`, attempt: probe("tcp", WORLD.web, 443) };

/** Sent behind everything else: who has seen it has seen what came before it, however busy the machine is. */
const MARKERS: Record<Receiver, (neighbour: Ground["neighbour"]) => string> = {
  world: () => WORLD.address,
  neighbour: ({ address }) => address,
  host: () => "127.0.0.1",
};
const MARKER_WITHIN_MS = 5_000;

async function settle({ crew, receivers, neighbour }: Scene): Promise<void> {
  const marks = [...receivers].map(([at, receiving]) => {
    const key = `udp ${MARKERS[at](neighbour)} ${DECOY.marker}`;
    return { at, receiving, key, had: receiving.arrived(key).length };
  });
  const markers = marks.map(({ at }): [string, Attempt] => [
    at,
    { operation: "udp", arguments: [MARKERS[at](neighbour), DECOY.marker, 0] },
  ]);
  await crew("host", new Map(markers));
  const deadline = performance.now() + MARKER_WITHIN_MS;
  while (marks.some(({ receiving, key, had }) => receiving.arrived(key).length === had)) {
    if (performance.now() > deadline) throw new Error("a receiver of the posture run has stopped to answer");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Controls first, then everything that may run together, then the bombs one by one. */
export async function runAttacks(
  scene: Scene,
  rows: readonly (Attack | Unmanaged)[],
  onProgress: Progress = () => {},
): Promise<Row[]> {
  const { crew, receivers } = scene;
  const attacks = rows.filter(isAttack);
  const count = (attack: Attack): number => {
    if (!attack.target) return 0;
    const arrived = receivers.get(attack.target.at)?.arrived(attack.target.key) ?? [];
    // A connection that is tried again is still one.
    return attack.attempt.operation === "flood" ? new Set(arrived).size : arrived.length;
  };
  const counts = (of: readonly Attack[]) => new Map(of.map((attack) => [attack.id, count(attack)]));

  onProgress({ fraction: 0.15, detail: "Proving that every target can be reached from where it is allowed" });
  const before = counts(attacks);
  const controls = await everywhere(
    crew,
    attacks.flatMap(({ id, control }) => (control ? [{ id, ...control }] : [])),
  );
  const path = receivers.has("world") ? await allowedArrives(scene) : true;
  await settle(scene);
  const middle = counts(attacks);

  const judge = (attack: Attack, seen: Seen | undefined, had: number): Row => {
    const told = seen ?? { verdict: "broken" as const, detail: "the attacker's program said nothing of it" };
    const answered = controls.get(attack.id)?.verdict === "answered" ? 1 : 0;
    const control = Math.max((middle.get(attack.id) ?? 0) - (before.get(attack.id) ?? 0), answered);
    const arrivals: Arrivals = { attack: count(attack) - had, control: path ? control : 0 };
    return rowOf(attack, attack.judge(told, arrivals));
  };
  const done = new Map<string, Row>();
  const tell = () =>
    onProgress({ fraction: 0.2 + (0.8 * done.size) / rows.length, detail: `${done.size} of ${rows.length} attacks` });

  const together = attacks.filter(({ alone }) => !alone);
  tell();
  const seen = await everywhere(
    crew,
    together.map(({ id, from, attempt }) => ({ id, from, attempt })),
  );
  await settle(scene);
  for (const attack of together) done.set(attack.id, judge(attack, seen.get(attack.id), middle.get(attack.id) ?? 0));
  for (const attack of attacks.filter(({ alone }) => alone)) {
    tell();
    const had = count(attack);
    const only = await crew(attack.from, new Map([[attack.id, attack.attempt]]));
    if (attack.target) await settle(scene);
    done.set(attack.id, judge(attack, only.get(attack.id), had));
  }
  tell();
  return rows.map((row) =>
    isAttack(row) ? (done.get(row.id) as Row) : rowOf(row, { outcome: "not_managed", evidence: row.why }),
  );
}

async function allowedArrives(scene: Scene): Promise<boolean> {
  const { crew, receivers } = scene;
  const arrived = () => receivers.get("world")?.arrived(ALLOWED.key).length ?? 0;
  const had = arrived();
  await crew("inside", new Map([["allowed", ALLOWED.attempt]]));
  await settle(scene);
  return arrived() > had;
}

/** All positions at once; one that cannot be taken leaves its attempts unsaid. */
async function everywhere(
  crew: Crew,
  attempts: readonly { id: string; from: Position; attempt: Attempt }[],
): Promise<Map<string, Seen>> {
  const positions = [...new Set(attempts.map(({ from }) => from))];
  const seen = await Promise.all(
    positions.map(async (position) => {
      const own = new Map(attempts.filter(({ from }) => from === position).map(({ id, attempt }) => [id, attempt]));
      try {
        return await crew(position, own);
      } catch (error) {
        const detail = `${position}: ${error instanceof Error ? error.message.slice(-200) : error}`;
        return new Map([...own.keys()].map((id): [string, Seen] => [id, { verdict: "broken", detail }]));
      }
    }),
  );
  return new Map(seen.flatMap((part) => [...part]));
}
