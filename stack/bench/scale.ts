import { randomBytes } from "node:crypto";
import { expectStatus } from "../client.ts";
import { findRunning } from "../running.ts";
import { milliseconds, summary, table } from "./figures.ts";
import { createAndWait, deleteAndWait, newPerson, type Timed } from "./tenants.ts";

const COUNT = 100;
/** As many as one may have: people are limited per hour and address. */
const PER_PERSON = 10;

/** A hundred agents, one after another, all kept running: does the hundredth take longer than the first? */
export async function benchScale(json: boolean): Promise<number> {
  const { dashboard } = findRunning();
  const tag = randomBytes(3).toString("hex");
  const made: Timed[] = [];
  try {
    let account = await newPerson(dashboard, `${tag}-w`);
    const warm = await createAndWait(account, `warm-${tag}`);
    await deleteAndWait(warm);
    for (let index = 0; index < COUNT; index++) {
      if (index % PER_PERSON === 0) account = await newPerson(dashboard, `${tag}-${index}`);
      made.push(await createAndWait(account, `scale-${tag}-${index}`));
      if (index % 10 === 9) console.error(`${index + 1}/${COUNT}: ${milliseconds(made.at(-1)?.milliseconds ?? 0)}`);
    }
    let running = 0;
    for (const { account: owner, id } of made) {
      const { state } = expectStatus(await owner.api(`/api/v1/tenants/${id}`), 200).json<{ state: string }>();
      if (state === "running") running += 1;
    }
    const times = made.map((one) => one.milliseconds);
    const [first, last] = [summary(times.slice(0, 10)), summary(times.slice(-10))];
    const stepMedians = (part: readonly Timed[]) =>
      Object.fromEntries(
        Object.keys(part[0]?.steps ?? {}).map((step) => [
          step,
          summary(part.map(({ steps }) => steps[step] ?? 0)).median,
        ]),
      );
    const steps = { first: stepMedians(made.slice(0, 10)), last: stepMedians(made.slice(-10)) };
    const growth = last.median / first.median;
    const within = growth <= 1.2 && running === COUNT;
    if (json) console.log(JSON.stringify({ first, last, steps, growth, running, within }, null, 2));
    else {
      console.log(table({ "first ten": first, "last ten": last }));
      for (const [step, before] of Object.entries(steps.first)) {
        console.log(
          `  ${step.padEnd(26)}${milliseconds(before).padStart(10)} → ${milliseconds(steps.last[step] ?? 0)}`,
        );
      }
      console.log(
        `${running} of ${COUNT} running; last / first ${growth.toFixed(2)}, allowed 1.20: ${within ? "within" : "OVER"}`,
      );
    }
    return within ? 0 : 1;
  } finally {
    for (let at = 0; at < made.length; at += 5) await Promise.all(made.slice(at, at + 5).map(deleteAndWait));
  }
}
