import { expect, it } from "vitest";
import { killedAt } from "../testing/account-kills.ts";

/** Every kill takes a life of its own to be over: 1 tries each of them, and takes two minutes. */
const EVERY = 9;

it("an account's deletion ends with nothing left and one receipt, wherever the edge is killed, and killed again", async () => {
  let at = 0;
  while (!(await killedAt(at))) at += EVERY;
  console.log(`account deletion: killed at every ${EVERY}th of ${at} calls`);
  expect(at).toBeGreaterThan(10);
}, 400_000);
