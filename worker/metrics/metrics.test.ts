import { beforeAll, describe, expect, it } from "vitest";
import { Client, startTestEdge, type TestEdge } from "../testing/edge.ts";
import { TestHost } from "../testing/host.ts";
import { EDGE_METRICS } from "./rules.ts";

const METRICS_TOKEN = "a-token-of-the-scraper-0123456789abcdef";
const read = (edge: TestEdge, token = METRICS_TOKEN) =>
  edge.send("/metrics", { headers: { authorization: `Bearer ${token}` } });

let edge: TestEdge;
let host: TestHost;

beforeAll(async () => {
  edge = await startTestEdge({ bindings: { METRICS_TOKEN } });
  host = await TestHost.make();
  await host.enrol(edge);
  const owner = await new Client(edge).signUp();
  await owner.create();
  await owner.create();
});

describe("/metrics", () => {
  it("is not there where nobody was given a token", async () => {
    const closed = await startTestEdge();
    expect((await read(closed)).status).toBe(404);
  });

  it("is shut to a wrong token, to none, and to the operator's", async () => {
    for (const token of ["wrong", "", edge.config.operatorToken]) expect((await read(edge, token)).status).toBe(401);
    expect((await edge.send("/metrics")).status).toBe(401);
  });

  it("tells every metric of the table, with what the database says", async () => {
    const response = await read(edge);
    expect(response.headers.get("content-type")).toContain("version=0.0.4");
    const text = await response.text();
    for (const name of Object.keys(EDGE_METRICS)) expect(text).toContain(`# TYPE ${name} `);
    expect(text).toContain('chelar_agents{state="pending"} 2');
    expect(text).toContain('chelar_hosts{state="enrolled"} 1');
    expect(text).toContain(`chelar_host_room_used{host="${host.name}",kind="agents"} 2`);
    expect(text).toContain("chelar_people 1");
    expect(Number(/^chelar_outbox_depth (\d+)$/m.exec(text)?.[1])).toBeGreaterThan(0);
  });

  it("counts what was answered, by part and class, and never by a path that a stranger chose", async () => {
    await edge.send("/no-such-page");
    const text = await (await read(edge)).text();
    expect(text).toMatch(/^chelar_http_requests_total\{isolate="[0-9a-f]{8}",part="pages",class="4xx"\} [1-9]/m);
    expect(text).not.toContain("no-such-page");
  });
});
