import { readdirSync, readFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { describe, expect, it } from "vitest";
import { findViolations, importsOf, RULE_NAMES, type RuleName } from "./import-rule.ts";

const root = join(import.meta.dirname, "..");

function sourcesOf(folder: string): [string, string][] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => [relative(root, path).replaceAll(sep, "/"), readFileSync(path, "utf8")]);
}

describe("the import rule", () => {
  it("is kept by every file of schema, worker and host-agent", () => {
    const sources = new Map(["schema", "worker", "host-agent"].flatMap(sourcesOf));
    expect(sources.size).toBeGreaterThan(50);
    expect(findViolations(sources)).toEqual([]);
  });
});

/** One line each that breaks a rule; the checker must name exactly that rule. */
const breaches: [RuleName, file: string, source: string][] = [
  ["schema/db imports drizzle and itself only", "schema/db/a.ts", `import { z } from "zod";`],
  ["schema/db imports drizzle and itself only", "schema/db/a.ts", `import type { A } from "../protocol/index.ts";`],
  ["schema/protocol imports zod, jose and itself only", "schema/protocol/a.ts", `import { x } from "node:crypto";`],
  ["schema/protocol imports zod, jose and itself only", "schema/protocol/a.ts", `import { x } from "../db/index.ts";`],
  ["schema/protocol imports zod, jose and itself only", "schema/protocol/a.ts", `export * from "../../worker/env.ts";`],
  ["nobody imports a migration", "worker/a.ts", `import sql from "../schema/migrations/0000_first.sql";`],
  ["worker and host-agent never import each other", "worker/a.ts", `import type { A } from "../host-agent/b.ts";`],
  ["worker and host-agent never import each other", "host-agent/x/a.ts", `import "../../worker/y/index.ts";`],
  ["the product never imports the stack, tests or their helpers", "worker/a.ts", `import { a } from "../stack/up.ts";`],
  ["the product never imports the stack, tests or their helpers", "worker/a.ts", `import { a } from "./b.test.ts";`],
  [
    "the product never imports the stack, tests or their helpers",
    "worker/a.ts",
    `import { makeWorld } from "../schema/protocol/vectors/forge.ts";`,
  ],
  ["the product never imports the stack, tests or their helpers", "worker/x/a.ts", `import { it } from "vitest";`],
  ["a room reaches another through what it publishes", "worker/x/a.ts", `import { a } from "../y/store.ts";`],
  ["a room reaches another through what it publishes", "worker/x/a.ts", `import type { A } from "../y/store.ts";`],
  ["a room reaches another through what it publishes", "worker/db.ts", `import { a } from "./y/store.ts";`],
  [
    "a room reaches another through what it publishes",
    "worker/x/a.ts",
    `import {\n  a,\n  b,\n} from "../y/store.ts";`,
  ],
  ["a room reaches another through what it publishes", "worker/x/a.ts", `const a = await import("../y/store.ts");`],
  ["rules reach no driver, directly or through others", "worker/x/rules.ts", `import { eq } from "drizzle-orm";`],
  [
    "rules reach no driver, directly or through others",
    "worker/x/rules.ts",
    `import { readFile } from "node:fs/promises";`,
  ],
  [
    "rules reach no driver, directly or through others",
    "worker/x/rules.ts",
    `import { randomUUID } from "node:crypto";`,
  ],
  ["rules reach no driver, directly or through others", "worker/x/rules.ts", `import * as crypto from "node:crypto";`],
  ["rules reach no driver, directly or through others", "worker/x/rules.ts", `import { a } from "./store.ts";`],
  [
    "rules reach no driver, directly or through others",
    "worker/x/rules.ts",
    `import { a, type B } from "../y/index.ts";`,
  ],
  ["rules reach no driver, directly or through others", "host-agent/a-rules.ts", `import "node:child_process";`],
  [
    "only containers/ and wiring touch Docker",
    "host-agent/journal.ts",
    `import { docker } from "./containers/docker.ts";`,
  ],
  ["imports are written out", "worker/a.ts", `const b = await import(name);`],
  ["rules take time, randomness and I/O as arguments", "worker/x/rules.ts", `export const now = () => Date.now();`],
  ["rules take time, randomness and I/O as arguments", "worker/x/rules.ts", `export const id = () => Math.random();`],
];

/** What stands around each fixture: a store that drives the database, and an index that leads to it. */
const surroundings: [string, string][] = [
  ["worker/x/store.ts", `import { eq } from "drizzle-orm";`],
  ["worker/y/store.ts", `import { eq } from "drizzle-orm";`],
  ["worker/y/index.ts", `export { a } from "./store.ts";\nexport type { B } from "./types.ts";`],
];

describe("a breach is found", () => {
  it.each(breaches)("%s: %s: %s", (rule, file, source) => {
    expect(findViolations(new Map([...surroundings, [file, source]])).map((violation) => violation.rule)).toContain(
      rule,
    );
  });

  it("for every rule there is", () => {
    expect(new Set(breaches.map(([rule]) => rule))).toEqual(new Set(RULE_NAMES));
  });
});

describe("what is allowed", () => {
  it.each([
    ["schema/db/a.ts", `import { text } from "drizzle-orm/sqlite-core";\nimport { b } from "./b.ts";`],
    ["schema/protocol/a.ts", `import { z } from "zod";\nimport { jwtVerify } from "jose";`],
    [
      "worker/x/a.ts",
      `import { a } from "../y/index.ts";\nimport { b } from "../y/rules.ts";\nimport { c } from "./store.ts";`,
    ],
    ["worker/index.ts", `import { a } from "./y/store.ts";`],
    ["host-agent/x/a.ts", `import type { Tenant } from "../tenants/layout.ts";`],
    [
      "worker/x/rules.ts",
      `import { z } from "zod";\nimport type { A } from "./store.ts";\nimport { type B } from "../y/index.ts";`,
    ],
    ["worker/x/rules.ts", `import { createHash } from "node:crypto";\nimport { isIP } from "node:net";`],
    ["host-agent/drivers.ts", `import { docker } from "./containers/docker.ts";`],
    ["worker/a.test.ts", `import { a } from "../host-agent/b.ts";`],
    [
      "worker/a.ts",
      `// import { a } from "../host-agent/b.ts";\nconst text = 'import { a } from "../host-agent/b.ts"';`,
    ],
  ])("%s: %s", (file, source) => {
    expect(findViolations(new Map([...surroundings, [file, source]]))).toEqual([]);
  });
});

it("the scanner reads every form of import", () => {
  const source = `import a, { b, type C } from "zod";
import type { D } from "./d.ts";
import {
  type E,
} from "../e/index.ts";
import "./f.ts";
export * from "./g.ts";
export * as h from "./h.ts";
export type { I } from "./i.ts";
const j = () => import("./j.ts");
type K = typeof import("./k.ts");
`;
  expect(importsOf("worker/x/a.ts", source).map(({ target, typeOnly }) => [target, typeOnly])).toEqual([
    ["zod", false],
    ["worker/x/d.ts", true],
    ["worker/e/index.ts", true],
    ["worker/x/g.ts", false],
    ["worker/x/h.ts", false],
    ["worker/x/i.ts", true],
    ["worker/x/f.ts", false],
    ["worker/x/j.ts", false],
    ["worker/x/k.ts", true],
  ]);
});
