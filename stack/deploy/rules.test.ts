import { readdirSync, readFileSync } from "node:fs";
import { beforeAll, describe, expect, it } from "vitest";
import { generateSigningKey } from "../../schema/protocol/index.ts";
import { ROOT } from "../worker.ts";
import { freshBindings } from "./bindings.ts";
import { unsafeStatements } from "./migrations.ts";
import { type Bindings, CHECKS, configRefusals, refusals, registered, type Way } from "./rules.ts";

let good: Bindings;

beforeAll(async () => {
  good = {
    ...(await freshBindings({ dashboard: "https://chelar.example", tenants: "https://*.chelar-agents.example" })),
    DATABASE_URL: "libsql://chelar.turso.example",
    DATABASE_AUTH_TOKEN: "a-token-of-the-database",
    MAIL: JSON.stringify({ driver: "resend", key: "re_0123456789", from: "Chelar <hello@chelar.example>" }),
  };
});

const JSON_OF = (value: object) => JSON.stringify(value);

describe("a production edge", () => {
  it("is accepted as `deploy init` makes it, with a database and mail", () => {
    expect(refusals(good, "cloudflare")).toEqual([]);
  });

  const CASES: [what: string, change: () => Record<string, string | undefined>, says: RegExp, way?: Way][] = [
    ["a value that nobody filled in", () => ({ DATABASE_URL: "libsql://…" }), /DATABASE_URL: put your own value/],
    ["a missing secret", () => ({ AUTH_SECRET: undefined }), /AUTH_SECRET is missing: it takes at least 32 random/],
    ["a short secret", () => ({ OPERATOR_TOKEN: "short" }), /OPERATOR_TOKEN is not accepted: it takes at least 32/],
    ["a secret that nobody drew", () => ({ AUTH_SECRET: "abcabcabc".repeat(5) }), /AUTH_SECRET is not random/],
    ["one secret for two", () => ({ METRICS_TOKEN: good.OPERATOR_TOKEN }), /is the same as/],
    ["command keys that are none", () => ({ COMMAND_KEYS: "{}" }), /COMMAND_KEYS is not accepted: it takes JSON/],
    [
      "a ring without a current key",
      () => ({ VAULT_KEYS: JSON_OF({ current: 2, keys: {} }) }),
      /VAULT_KEYS is not accepted/,
    ],
    [
      "a dashboard without TLS",
      () => ({ DASHBOARD_ORIGIN: "http://chelar.example" }),
      /DASHBOARD_ORIGIN must begin with https/,
    ],
    [
      "agents without TLS",
      () => ({ TENANT_ORIGIN: "http://*.chelar-agents.example" }),
      /TENANT_ORIGIN must begin with https/,
    ],
    ["agents below the dashboard", () => ({ TENANT_ORIGIN: "https://*.chelar.example" }), /another domain/],
    [
      "agents beside the dashboard",
      () => ({ TENANT_ORIGIN: "https://*.a.chelar.example", DASHBOARD_ORIGIN: "https://app.chelar.example" }),
      /another domain than chelar\.example/,
    ],
    [
      "a database without TLS",
      () => ({ DATABASE_URL: "http://db.example:8080" }),
      /DATABASE_URL must begin with libsql/,
    ],
    ["a database without a token", () => ({ DATABASE_AUTH_TOKEN: undefined }), /DATABASE_AUTH_TOKEN is missing/],
    [
      "a database that Cloudflare cannot reach",
      () => ({ DATABASE_URL: "http://127.0.0.1:8900" }),
      /Cloudflare does not reach/,
    ],
    ["guesses that nobody counts", () => ({ AUTH_RATE_LIMIT: "off" }), /AUTH_RATE_LIMIT must be on/],
    ["stand-ins of the providers", () => ({ PROVIDERS_AT: "https://x.example" }), /PROVIDERS_AT is for trials/],
    ["nobody who pays", () => ({ BILLING: JSON_OF({ mode: "off" }) }), /BILLING has the mode "off"/],
    ["a mailbox", () => ({ MAIL: JSON_OF({ driver: "mailbox" }) }), /MAIL is not accepted/],
    ["Stripe's test key", () => ({ BILLING: stripe("sk_test_0123456789abcdef") }), /test key of Stripe/],
  ];
  const stripe = (key: string) =>
    JSON_OF({
      ...{ mode: "stripe", key, webhookSecrets: ["whsec_0123456789abcdef0123"] },
      prices: { starter: ["price_a1"], pro: ["price_b1"], team: ["price_c1"] },
    });

  it("is accepted with Stripe's live key", () => {
    expect(refusals({ ...good, BILLING: stripe("sk_live_0123456789abcdef") }, "cloudflare")).toEqual([]);
  });

  it.each(CASES)(
    "is refused with %s, and the sentence names the value and what is accepted",
    (_, change, says, way) => {
      const bindings = Object.fromEntries(
        Object.entries({ ...good, ...change() }).filter((pair): pair is [string, string] => pair[1] !== undefined),
      );
      const said = refusals(bindings, way ?? "cloudflare");
      expect(said.join("\n")).toMatch(says);
      // What was given is somebody's secret as likely as not.
      for (const secret of [good.AUTH_SECRET, good.OPERATOR_TOKEN, good.TICKET_KEY])
        expect(said.join()).not.toContain(secret);
    },
  );

  it("is seen by every check of the table at least once", () => {
    const seen = CASES.flatMap(([, change]) => {
      const bindings = Object.fromEntries(Object.entries({ ...good, ...change() }).filter(([, v]) => v !== undefined));
      return CHECKS.filter(({ refuse }) => refuse(bindings as Bindings) !== null).map(({ id }) => id);
    });
    expect(CHECKS.map(({ id }) => id).filter((id) => !seen.includes(id))).toEqual([]);
  });

  it("may have its database on the same machine where it is no Worker of Cloudflare's", () => {
    expect(refusals({ ...good, DATABASE_URL: "http://127.0.0.1:8900" }, "workerd")).toEqual([]);
  });

  it("is known by the domain that was registered", () => {
    expect(["a.b.example.com", "example.com", "x.example.co.uk"].map(registered)).toEqual([
      "example.com",
      "example.com",
      "example.co.uk",
    ]);
  });

  it("takes a key of this repository's own making", async () => {
    expect(refusals({ ...good, TICKET_KEY: JSON.stringify(await generateSigningKey()) }, "workerd")).toEqual([]);
  });
});

describe("wrangler.toml", () => {
  it("of this repository has everything", () => {
    expect(configRefusals(readFileSync(`${ROOT}/wrangler.toml`, "utf8"))).toEqual([]);
  });

  it("is refused without a cron, with a second address, and with old versions in reach", () => {
    expect(configRefusals("")).toHaveLength(4);
  });
});

describe("migrations", () => {
  it("only add, so that the former version goes on while it is replaced, and after one has gone back", () => {
    const folder = `${ROOT}/schema/migrations`;
    const files = readdirSync(folder).filter((name) => name.endsWith(".sql"));
    expect(files.length).toBeGreaterThan(8);
    for (const file of files) expect(unsafeStatements(readFileSync(`${folder}/${file}`, "utf8")), file).toEqual([]);
  });

  it.each([
    "DROP TABLE `tenants`;",
    "ALTER TABLE `tenants` DROP COLUMN `plan`;",
    "ALTER TABLE `tenants` RENAME TO `agents`;",
    "ALTER TABLE `tenants` ADD `plan` text NOT NULL;",
    "CREATE UNIQUE INDEX `x` ON `tenants` (`plan`);",
    "UPDATE `tenants` SET `plan` = 'pro';",
    "DELETE FROM `tenants`;",
    "PRAGMA foreign_keys=OFF;",
  ])("are refused that do more: %s", (statement) => {
    expect(
      unsafeStatements(`CREATE TABLE \`other\` (\`id\` text);\n--> statement-breakpoint\n${statement}`),
    ).toHaveLength(1);
  });

  it.each([
    "ALTER TABLE `tenants` ADD `note` text;",
    "ALTER TABLE `tenants` ADD `note` text DEFAULT '' NOT NULL;",
    "CREATE INDEX `x` ON `tenants` (`plan`);",
    "CREATE UNIQUE INDEX `x` ON `other` (`id`);",
  ])("may add: %s", (statement) => {
    expect(unsafeStatements(`CREATE TABLE \`other\` (\`id\` text);\n--> statement-breakpoint\n${statement}`)).toEqual(
      [],
    );
  });
});
