import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { internet } from "../hosts/index.ts";
import { json, serveHttp } from "../stand-ins/http.ts";
import { createSleepLab, type Sleeper, type SleepLab } from "./sleep-lab.ts";

/** A public one: the walls let a tenant out to nothing else. */
const OUTSIDE = "93.184.215.14";
let lab: SleepLab;
beforeAll(async () => {
  lab = await createSleepLab();
});
afterAll(() => lab?.destroy());

const told = (event: string, { id }: Sleeper) => lab.log().split(`${event} tenant=${id}`).length - 1;
const page = { accept: "text/html,*/*;q=0.8", "sec-fetch-mode": "navigate" };
const kept = async (one: Sleeper) => (await one.visit("/fs/read?path=/data/kept")).text;

// Side by side: most of their time is waiting for somebody to fall asleep.
describe.concurrent("on a server with other agents", { timeout: 90_000 }, () => {
  describe("an agent that nobody needs", () => {
    test("is frozen, then ended, and each time one visit wakes it with its data", async () => {
      const one = await lab.create({ pauseAfterSeconds: 1, stopAfterSeconds: 3 });
      await one.visit("/fs?path=/data/kept&content=kept");
      await one.untilStatus("paused");
      await one.untilState("asleep");
      expect(await kept(one)).toContain("kept");
      await one.untilState("running");
      await one.untilStatus("exited");
      while ((await lab.census(one.id)).mounts > 0) await sleep(50);
      expect(await kept(one)).toContain("kept");
      await one.untilState("running");
    });
  });

  describe("an agent at work is not put to sleep", () => {
    test("while a WebSocket is open", async () => {
      const one = await lab.create({ pauseAfterSeconds: 1 });
      const socket = await one.socket();
      while (told("tenant.busy", one) < 3) await sleep(100);
      expect(await one.status()).toBe("running");
      socket.close();
      await one.untilStatus("paused");
    });

    test("while an answer streams", async () => {
      const one = await lab.create({ pauseAfterSeconds: 1 });
      const stream = one.visit("/stream?count=50&everyMs=100");
      while (told("tenant.busy", one) < 3) await sleep(100);
      expect(await one.status()).toBe("running");
      expect((await stream).text).toContain("id: 50");
      await one.untilStatus("paused");
    });

    test("while a job of its own runs, of which only the runtime knows", async () => {
      const one = await lab.create({ stopAfterSeconds: 1 });
      const began = Date.now();
      await one.visit("/work?seconds=8");
      await one.untilStatus("exited");
      expect(Date.now() - began).toBeGreaterThanOrEqual(8_000);
      expect(lab.log()).toContain(`tenant.busy tenant=${one.id} why="a job is running"`);
    });
  });

  describe("who comes to a sleeping agent", () => {
    test("sees a page that goes on by itself when it takes long, and a program just waits", async () => {
      const env = { ECHO_SLOW_START_MS: "4000" };
      const one = await lab.create({ stopAfterSeconds: 1 }, { env });
      await one.untilStatus("exited");
      const program = one.visit("/data");
      const first = await one.visit("/", page);
      expect(first.status).toBe(503);
      expect(first.text).toContain('<meta http-equiv="refresh" content="1">');
      expect(first.text).toMatch(/<p role="status">(Waking|Opening|Checking|Preparing|Waiting) /);
      expect(first.headers["content-security-policy"]).toContain("default-src 'none'");
      let last = first;
      while (last.status === 503) last = await one.visit("/", page);
      expect(last.status).toBe(200);
      expect((await program).status).toBe(200);
      await one.untilState("running");
      expect(told("tenant.awake", one)).toBe(1);
    });

    test("is told why, when it keeps dying, and its owner sees it as failed", async () => {
      const one = await lab.create({ stopAfterSeconds: 1 });
      await one.visit("/fs?path=/data/exit-at-start&content=yes");
      await one.untilStatus("exited");
      const first = await one.visit("/", page);
      expect([first.status, first.headers["retry-after"]]).toEqual([503, "1"]);
      await one.untilState("failed");
      const answer = await one.visit();
      expect([answer.status, answer.headers["retry-after"]]).toEqual([503, "60"]);
      expect(answer.text).toContain("keeps stopping right after it was started");
      expect((await one.visit("/", page)).text).toContain("could not be started");
    });

    test("is refused beyond what may be open at the same time, WebSockets counted", async () => {
      const one = await lab.create({ pauseAfterSeconds: 600 }, { limits: { openConnections: 20 } });
      const sockets = [];
      for (let at = 0; at < 20; at++) sockets.push(await one.socket());
      // Nothing can be counted in the first moments after a start: refusals begin when the first count is there.
      let refused = await one.visit();
      while (refused.status === 200) refused = await one.visit();
      expect([refused.status, refused.headers["retry-after"]]).toEqual([429, "1"]);
      for (const socket of sockets) socket.close();
      while ((await one.visit()).status !== 200) await sleep(50);
    });
  });

  describe("an agent with plans of its own", () => {
    test("is awake when one of its jobs is due", async () => {
      const one = await lab.create({ pauseAfterSeconds: 1 });
      const dueAt = Date.now() + 15_000;
      await one.visit(`/cron?inMs=${dueAt - Date.now()}`);
      await one.untilStatus("paused");
      await one.untilStatus("running");
      const ranAt = async () => (JSON.parse((await one.visit("/cron")).text) as { ranAtMs: number | null }).ranAtMs;
      // Nobody visits before: it is the clock that has to wake it.
      while (Date.now() < dueAt) await sleep(100);
      let ranAtMs = await ranAt();
      while (ranAtMs === null) ranAtMs = await ranAt();
      expect(ranAtMs - dueAt).toBeLessThan(5_000);
    });
  });
});

test("who has sent a day's worth reaches nothing outside, and visitors still reach it", {
  timeout: 90_000,
}, async () => {
  await internet.addAddress(OUTSIDE);
  const outside = await serveHttp(OUTSIDE, 80, (_, response) => json(response, 200, {}));
  const [one, other] = await Promise.all(
    [{ egressMiBPerDay: 8 }, {}].map((limits) => lab.create(undefined, { limits })),
  );
  const reaches = async (who: Sleeper | undefined) =>
    JSON.parse((await who?.visit(`/connect?host=${OUTSIDE}&port=80`))?.text ?? "{}").connected;
  expect([await reaches(one), await reaches(other)]).toEqual([true, true]);
  await one?.visit("/misbehave/big-body?mib=9");
  await vi.waitFor(async () => expect(await reaches(one)).toBe(false), { timeout: 60_000, interval: 500 });
  expect([(await one?.visit())?.status, await reaches(other)]).toEqual([200, true]);
  await outside.close();
});

test("a thousand requests at the same time wake once, and all are answered", { timeout: 60_000 }, async () => {
  const one = await lab.create({ stopAfterSeconds: 1 });
  await one.untilStatus("exited");
  const answers = await Promise.all(Array.from({ length: 1_000 }, (_, at) => one.visit(`/n/${at}`)));
  expect(Map.groupBy(answers, ({ status }) => status).get(200)).toHaveLength(1_000);
  await one.untilState("running");
  expect(told("tenant.awake", one)).toBe(1);
});

test("over a killed agent and a killed engine it stays asleep, and wakes afterwards", { timeout: 90_000 }, async () => {
  const frozen = await lab.create({ pauseAfterSeconds: 1 });
  await frozen.visit("/fs?path=/data/kept&content=kept");
  await frozen.untilStatus("paused");
  await lab.kill("SIGKILL");
  await lab.start();
  await sleep(1_000);
  expect(await frozen.status()).toBe("paused");
  expect(await kept(frozen)).toContain("kept");
  await frozen.untilStatus("paused");
  await lab.host.stopDocker("SIGKILL");
  await lab.host.startDocker();
  let answer = await frozen.visit("/fs/read?path=/data/kept");
  while (answer.status !== 200) answer = await frozen.visit("/fs/read?path=/data/kept");
  expect(answer.text).toContain("kept");
});
