import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { journey } from "../../stack/journey/journey.ts";
import { Recorder, type Step } from "../../stack/journey/recorder.ts";
import { askOurModel, type Outside, startOutside, TELEGRAM_ORIGIN } from "../stand-ins/outside.ts";
import { ADA, ASKED, UNHEARD, writeToSleeper } from "./correspondence.ts";
import { journeyTarget, type Platform, startPlatform } from "./platform.ts";

const KEY = "sk-stand-in-of-a-model-key";
const ANSWER = "Paris, as far as a stand-in can tell.";
let outside: Outside;
let platform: Platform;
beforeAll(async () => {
  outside = await startOutside(KEY, ANSWER);
  const edge = { PROVIDERS_AT: TELEGRAM_ORIGIN, PAUSE_AFTER_SECONDS: "2", STOP_AFTER_SECONDS: "4" };
  platform = await startPlatform({ server: { images: ["echo", "openclaw"] }, edge });
  await askOurModel(platform.server);
});
afterAll(async () => {
  await platform?.stop();
  await outside?.close();
});

describe.each(["echo", "openclaw"] as const)("the main job, with %s", (runtime) => {
  it("holds every guarantee from sign-up to nothing left", async () => {
    const recorder = new Recorder(tell);
    await journey(journeyTarget(platform, runtime), recorder);
    expect(recorder.failed).toEqual([]);
    expect(recorder.steps.length).toBeGreaterThanOrEqual(14);
  });
});

it("a message wakes a sleeping OpenClaw, is answered through its model, and it sleeps again", {
  timeout: 900_000,
}, async () => {
  const told = await writeToSleeper(platform, outside, { key: KEY, answer: ANSWER, say: console.log });
  expect(told.sent.at(-1)).toEqual({ chatId: ADA, text: ANSWER });
  expect(told.sent).toHaveLength(told.asked);
  expect(told.modelHeard).toContain(ASKED);
  // Who is not on the list is not heard, whatever they call themselves.
  expect(told.modelHeard).not.toContain(UNHEARD);
  expect(told.counts).toMatchObject({ accepted: told.asked, taken: told.asked, not_allowed: 1 });
});

function tell({ held, name, milliseconds, evidence }: Step): void {
  console.log(`${held ? "held  " : "FAILED"} ${milliseconds} ms  ${name}: ${evidence}`);
}
