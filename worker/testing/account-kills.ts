import { expect } from "vitest";
import { Client, randomText, startTestEdge } from "./edge.ts";
import { TestHost } from "./host.ts";
import { deletionOf, hostsWork, idOf, leftOf, linesOf } from "./leaving.ts";

const MAX_TURNS = 12;

/**
 * One deletion of an account with two agents, whose edge is killed before its nth call to database or host and never
 * comes back in that life; then started again, with a clock of its own. True when it was through before it was killed.
 */
export async function killedAt(nth: number): Promise<boolean> {
  const host = await TestHost.make();
  let [calls, limit, dead] = [0, Number.POSITIVE_INFINITY, false];
  const count = () => {
    calls += 1;
    dead ||= calls > limit;
    if (dead) throw new TypeError("killed");
  };
  const edge = await startTestEdge({
    onStatement: () => count(),
    fetch: (input, init) => {
      count();
      return host.fetch(input, init);
    },
  });
  host.now = edge.world.now;
  // The file's other hosts are in the same database.
  const region = randomText()
    .replace(/[^a-z]/g, "x")
    .slice(0, 12);
  expect((await host.enrol(edge, { region })).ok).toBe(true);
  const owner = await new Client(edge).signUp();
  const userId = await idOf(owner);
  for (let made = 0; made < 2; made++) expect((await owner.create(undefined, { region })).status).toBe(201);

  [calls, limit] = [0, nth];
  const asked = await owner.request("DELETE", "/api/v1/account", { password: owner.password });
  const isThrough = !dead;
  // It lives again, from what is in the database. Whoever got no answer asks again.
  [dead, limit] = [false, Number.POSITIVE_INFINITY];
  if (asked.status !== 202 && !(await deletionOf(edge, userId))) {
    expect((await owner.request("DELETE", "/api/v1/account", { password: owner.password })).status).toBe(202);
  }
  // And killed once more, at the same distance from the next beginning.
  for (let turn = 0; turn < MAX_TURNS && !(await deletionOf(edge, userId))?.doneAt; turn++) {
    if (turn === 1) [calls, limit] = [0, nth];
    await edge.tick().catch(() => {});
    [dead, limit] = [false, Number.POSITIVE_INFINITY];
    await hostsWork(edge, host, userId);
    edge.world.forward(6 * 60_000);
  }
  await edge.tick();
  expect((await deletionOf(edge, userId))?.receipt, `killed at ${nth}`).toBeTruthy();
  expect(await leftOf(edge, { id: userId, email: owner.email }), `killed at ${nth}`).toEqual([]);
  const said = await linesOf(edge, userId);
  expect(said.filter((line) => line === "account.deleted")).toHaveLength(1);
  expect(edge.letters.filter(({ to, text }) => to === owner.email && text.includes("/account-receipts/"))).toHaveLength(
    1,
  );
  return isThrough;
}
