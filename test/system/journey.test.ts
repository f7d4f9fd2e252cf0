import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { journey } from "../../stack/journey/journey.ts";
import { Recorder, type Step } from "../../stack/journey/recorder.ts";
import { journeyTarget, type Platform, startPlatform } from "./platform.ts";

let platform: Platform;
beforeAll(async () => {
  platform = await startPlatform({ server: { images: ["echo", "openclaw"] } });
});
afterAll(() => platform?.stop());

describe.each(["echo", "openclaw"] as const)("the main job, with %s", (runtime) => {
  it("holds every guarantee from sign-up to nothing left", async () => {
    const recorder = new Recorder(tell);
    await journey(journeyTarget(platform, runtime), recorder);
    expect(recorder.failed).toEqual([]);
    expect(recorder.steps.length).toBeGreaterThanOrEqual(14);
  });
});

function tell({ held, name, milliseconds, evidence }: Step): void {
  console.log(`${held ? "held  " : "FAILED"} ${milliseconds} ms  ${name}: ${evidence}`);
}
