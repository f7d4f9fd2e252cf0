import { beforeAll, describe, expect, it } from "vitest";
import { startTestEdge, type TestEdge } from "../testing/edge.ts";
import { TestHost } from "../testing/host.ts";

const STRANGER = "203.0.113.7";
let edge: TestEdge;
let host: TestHost;

beforeAll(async () => {
  host = await TestHost.make();
  edge = await startTestEdge({ fetch: host.fetch as typeof fetch, bindings: { AUTH_RATE_LIMIT: "on" } });
  await host.enrol(edge);
});

const call = (path: "reports" | "enrol", from: string, body = "no.envelope.at-all") =>
  edge.sendOnly(`/api/hosts/${path}`, {
    method: "POST",
    headers: { "content-type": "application/jose", "cf-connecting-ip": from },
    body,
  });
/** As many as are let, and the first that is not. */
async function exhaust(path: "reports" | "enrol", from: string): Promise<{ let: number; refused: Response }> {
  for (let sent = 0; sent < 2_000; sent += 1) {
    const response = await call(path, from);
    if (response.status === 429) return { let: sent, refused: response };
    await response.text();
  }
  throw new Error("all were let");
}

describe("what anybody may send to the edge in a host's name", () => {
  it.each([
    ["reports", 1_200],
    ["enrol", 30],
  ] as const)(
    "%s: after so many from one address is refused unread, and when to come again is said",
    async (path, most) => {
      const { let: count, refused } = await exhaust(path, STRANGER);
      expect(count).toBe(most);
      expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
      expect(await refused.json()).toMatchObject({ code: "rate_limited" });
    },
  );

  it("uses up no turn of a host at another address, whomever it names", async () => {
    await exhaust("reports", STRANGER);
    const report = await host.sign([]);
    const heard = await call("reports", "198.51.100.4", report);
    expect(await host.ackOf(heard, report)).not.toBeNull();
  });

  it("is heard again later, so that a host which was refused loses nothing", async () => {
    await exhaust("reports", STRANGER);
    edge.world.forward(60_000);
    host.now = edge.world.now;
    const report = await host.sign([]);
    expect(await host.ackOf(await call("reports", STRANGER, report), report)).not.toBeNull();
  });
});
