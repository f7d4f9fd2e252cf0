import { posix } from "node:path";

/** The import rule of ARCHITECTURE as code: files go in as text, violations come out as data. */
export interface Import {
  file: string;
  /** A path from the root of the repository for our own files, else the package or built-in as it is written. */
  target: string;
  /** `import type`, or only `type` specifiers: gone at run time. */
  typeOnly: boolean;
  names: string[];
}
export interface Violation {
  file: string;
  target: string;
  rule: RuleName;
}
export type Sources = ReadonlyMap<string, string>;

/** Wires everything, and so may import everything of its own side. */
const WIRING = /^(?:worker\/(?:index|edge)\.ts|host-agent\/(?:main|serve|drivers)\.ts)$/;
/** Tests, their helpers and their stand-ins: exempt, and never imported by the product. */
const TEST_SUPPORT =
  /\.test\.tsx?$|\/(?:testing|in-memory|visiting|model-host)\.tsx?$|^(?:worker\/testing|schema\/protocol\/vectors)\//;
const TEST_PACKAGES = new Set(["vitest", "fast-check", "playwright-core"]);
/** What a room shows to the others. */
const PUBLISHED = /\/(?:index|rules|service|types)\.tsx?$/;
/** Contracts that one room states and several keep. */
const CONTRACTS = new Set([
  "host-agent/tenants/layout.ts",
  "host-agent/tenants/ports.ts",
  "host-agent/runtimes/runtime.ts",
  "host-agent/runtimes/table.ts",
]);
const RULES = /(?:^|[/-])rules\.ts$/;
/** Built-ins that only compute. Everything else of Node, and every package but zod, acts on the world. */
const PURE_BUILTINS: Record<string, readonly string[]> = {
  "node:crypto": ["createHash", "timingSafeEqual"],
  "node:net": ["isIP", "isIPv4", "isIPv6"],
};
const DOCKER = "host-agent/containers/docker.ts";

const side = (path: string) => path.split("/")[0] as string;
/** `worker/tenants`, or null for a file that lies at the top of its side. */
const room = (path: string) => (path.split("/").length > 2 ? path.split("/").slice(0, 2).join("/") : null);
const isOurs = (target: string) => /^(?:schema|worker|host-agent|stack|test)\//.test(target);
const isSide = (path: string) => side(path) === "worker" || side(path) === "host-agent";

type Refuses = (use: Import, sources: Sources) => boolean;

const RULE_TABLE = {
  "schema/db imports drizzle and itself only": ({ file, target }) =>
    file.startsWith("schema/db/") && !target.startsWith("schema/db/") && !/^drizzle-orm(?:\/|$)/.test(target),
  "schema/protocol imports zod, jose and itself only": ({ file, target }) =>
    file.startsWith("schema/protocol/") && !target.startsWith("schema/protocol/") && !["zod", "jose"].includes(target),
  "nobody imports a migration": ({ target }) => target.startsWith("schema/migrations/"),
  "worker and host-agent never import each other": ({ file, target }) =>
    isSide(file) && isSide(target) && side(file) !== side(target),
  "the product never imports the stack, tests or their helpers": ({ target }) =>
    /^(?:stack|test)\//.test(target) || TEST_SUPPORT.test(target) || TEST_PACKAGES.has(target),
  "a room reaches another through what it publishes": ({ file, target }) =>
    isSide(file) &&
    side(file) === side(target) &&
    !WIRING.test(file) &&
    room(target) !== null &&
    room(target) !== room(file) &&
    !PUBLISHED.test(target) &&
    !CONTRACTS.has(target),
  "rules reach no driver, directly or through others": (use, sources) =>
    RULES.test(use.file) && !use.typeOnly && reachesDriver(use, sources, new Set()),
  "only containers/ and wiring touch Docker": ({ file, target, typeOnly }) =>
    target === DOCKER &&
    !typeOnly &&
    room(file) !== room(DOCKER) &&
    !WIRING.test(file) &&
    !/^host-agent\/runtimes\/images[./]/.test(file),
  "imports are written out": ({ target }) => target === "(computed)",
} satisfies Record<string, Refuses>;
export type RuleName = keyof typeof RULE_TABLE | "rules take time, randomness and I/O as arguments";
export const RULE_NAMES = [
  ...(Object.keys(RULE_TABLE) as (keyof typeof RULE_TABLE)[]),
  "rules take time, randomness and I/O as arguments",
] as const satisfies RuleName[];

function reachesDriver(use: Import, sources: Sources, seen: Set<string>): boolean {
  const { target, names } = use;
  if (!isOurs(target)) {
    const pure = PURE_BUILTINS[target];
    return target !== "zod" && target !== "node:path" && !(pure && names.every((name) => pure.includes(name)));
  }
  // What both sides agree on computes; its drivers are jose and the Web's crypto, handed keys and bytes.
  if (target.startsWith("schema/protocol/")) return false;
  if (seen.has(target)) return false;
  seen.add(target);
  return importsOf(target, sources.get(target) ?? "").some(
    (next) => !next.typeOnly && reachesDriver(next, sources, seen),
  );
}

const AMBIENT =
  /\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(|\bcrypto\.(?:getRandomValues|randomUUID)\b|\bfetch\(|\bprocess\.\w|\bsetTimeout\(/;

/** Every violation in the files given, tests and their helpers exempt. */
export function findViolations(sources: Sources): Violation[] {
  const product = [...sources].filter(
    ([file]) => /^(?:schema|worker|host-agent)\//.test(file) && !TEST_SUPPORT.test(file),
  );
  return product.flatMap(([file, source]) => {
    const imports = importsOf(file, source).flatMap((use) =>
      (Object.entries(RULE_TABLE) as [keyof typeof RULE_TABLE, Refuses][])
        .filter(([, refuses]) => refuses(use, sources))
        .map(([rule]): Violation => ({ file, target: use.target, rule })),
    );
    const ambient = RULES.test(file) ? AMBIENT.exec(source)?.[0] : undefined;
    return ambient
      ? [...imports, { file, target: ambient, rule: "rules take time, randomness and I/O as arguments" as const }]
      : imports;
  });
}

const STATEMENT = /^(?:import|export)\s+(type\s)?((?:[\w*\s,$]|\{[^}]*\})*?)\s*from\s*["']([^"']+)["']/gm;
const SIDE_EFFECT = /^import\s*["']([^"']+)["']/gm;
const DYNAMIC = /(typeof\s+)?\bimport\(\s*(?:["']([^"']+)["']\s*\)|([^)"']))/g;

/** A scanner, not a parser: Biome keeps statements at the start of a line, which is all that it relies on. */
export function importsOf(file: string, source: string): Import[] {
  const at = (specifier: string) =>
    specifier.startsWith(".") ? posix.normalize(posix.join(posix.dirname(file), specifier)) : specifier;
  const uses: Import[] = [];
  for (const [, type, clause = "", specifier = ""] of source.matchAll(STATEMENT)) {
    const named = /\{([^}]*)\}/.exec(clause)?.[1]?.split(",") ?? [];
    const specifiers = named.map((name) => name.trim()).filter(Boolean);
    const beside = clause.replace(/\{[^}]*\}/, "").replace(/[\s,]/g, "");
    const typeOnly =
      Boolean(type) || (beside === "" && specifiers.length > 0 && specifiers.every((s) => s.startsWith("type ")));
    const values = specifiers.filter((s) => !s.startsWith("type ")).map((s) => s.split(/\s/)[0] as string);
    uses.push({ file, target: at(specifier), typeOnly, names: beside ? [...values, beside] : values });
  }
  for (const [, specifier = ""] of source.matchAll(SIDE_EFFECT)) {
    uses.push({ file, target: at(specifier), typeOnly: false, names: [] });
  }
  for (const [, type, specifier] of source.matchAll(DYNAMIC)) {
    uses.push({ file, target: specifier ? at(specifier) : "(computed)", typeOnly: Boolean(type), names: ["*"] });
  }
  return uses;
}
