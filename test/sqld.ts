import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { migrate } from "../stack/migrate.ts";
import { type RunningSqld, startSqld } from "../stack/sqld.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** Answers each POST with the bindings of a fresh, migrated database on a libSQL server of its own. */
    databases: string;
  }
}

/**
 * Real libSQL servers for tests inside workerd, one per test file that asks: files run side by side, and one that
 * fills every host must not disturb the others.
 */
export default async function setup(project: TestProject) {
  const dir = await mkdtemp(join(tmpdir(), "chelar-sqld-"));
  const running: RunningSqld[] = [];
  let count = 0;
  const giver = createServer(async (_request, response) => {
    try {
      const sqld = await startSqld({ dir: join(dir, String(++count)) });
      running.push(sqld);
      await migrate(sqld.url, sqld.authToken);
      response.end(JSON.stringify({ DATABASE_URL: sqld.url, DATABASE_AUTH_TOKEN: sqld.authToken }));
    } catch (error) {
      response.writeHead(500).end(String(error));
    }
  });
  await new Promise<void>((resolve) => giver.listen(0, "127.0.0.1", resolve));
  project.provide("databases", `http://127.0.0.1:${(giver.address() as AddressInfo).port}`);
  return async () => {
    giver.closeAllConnections();
    giver.close();
    await Promise.all(running.map((sqld) => sqld.stop()));
    await rm(dir, { recursive: true, force: true });
  };
}
