import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { migrate } from "./migrate.ts";
import { type RunningSqld, startSqld } from "./sqld.ts";

let dir: string;
let sqld: RunningSqld;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "chelar-sqld-"));
  sqld = await startSqld({ dir });
});
afterAll(async () => {
  await sqld?.stop();
  await rm(dir, { recursive: true, force: true });
});

const ask = async (headers: Record<string, string>) => {
  const requests = [{ type: "execute", stmt: { sql: "select 1" } }];
  const body = JSON.stringify({ requests });
  return (await fetch(`${sqld.url}/v2/pipeline`, { method: "POST", headers, body })).status;
};

it("gives nothing to a page in a browser on this machine, which can reach every port of it", async () => {
  expect(await ask({ "content-type": "text/plain", origin: "http://evil.agents.localhost:8080" })).toBe(401);
});

it("gives nothing to the token of another run", async () => {
  const other = await startSqld({ dir: join(dir, "other") });
  await other.stop();
  expect(await ask({ authorization: `Bearer ${other.authToken}` })).toBe(401);
});

it("gives everything to whoever holds its token", async () => {
  await migrate(sqld.url, sqld.authToken);
  expect(await ask({ authorization: `Bearer ${sqld.authToken}` })).toBe(200);
});
