import { expect, it } from "vitest";
import { killedAt } from "../testing/account-kills.ts";

it("an account's deletion ends with nothing left and one receipt, wherever the edge is killed, and killed again", async () => {
  let kills = 0;
  while (!(await killedAt(kills))) kills += 1;
  console.log(`account deletion: killed at each of ${kills} calls`);
  expect(kills).toBeGreaterThan(10);
}, 400_000);
