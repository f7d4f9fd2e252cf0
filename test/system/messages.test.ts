import { expect, test } from "vitest";
import { sendThrough } from "./messages-lab.ts";

// A hundred here; `npm run bench -- messages` sends a thousand.
test("messages to a sleeping agent, killed twice, over an edge that is killed once: each once, in order, none lost", async () => {
  const told = await sendThrough(100, console.log);
  expect(told).toMatchObject({ sent: 100, taken: 100, inOrder: told.conversations });
  expect(told.faults).toHaveLength(3);
  expect(told.counts).toMatchObject({ accepted: 100, taken: 100 });
});
