import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FAULTS } from "../faults/scenarios.ts";

/** The kills are in agent.test.ts; all of it, at length, in `npm run faults`. */
describe.each(FAULTS)("faults on the $name", ({ parts, begin, end }) => {
  beforeAll(begin);
  afterAll(end);

  test.each(parts.filter(({ isLong }) => !isLong))(
    "$name: nothing acknowledged is lost, nothing unwanted is left",
    async ({ play }) => {
      const tally = await play({ brief: true, say: console.log });
      expect(tally).toEqual({ ...tally, converged: tally.kills, orphans: 0, lostAcknowledged: 0 });
      expect(tally.kills).toBeGreaterThan(0);
    },
  );
});
