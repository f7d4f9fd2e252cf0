import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { migrate } from "../stack/migrate.ts";
import { startSqld } from "../stack/sqld.ts";

declare module "vitest" {
  interface ProvidedContext {
    databaseUrl: string;
  }
}

/** Gives the tests inside workerd the real libSQL server, migrated, for this run only. */
export default async function setup(project: TestProject) {
  const dir = await mkdtemp(join(tmpdir(), "chelar-sqld-"));
  const sqld = await startSqld({ dir });
  await migrate(sqld.url);
  project.provide("databaseUrl", sqld.url);
  return async () => {
    await sqld.stop();
    await rm(dir, { recursive: true, force: true });
  };
}
