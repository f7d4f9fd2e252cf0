import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { gunzipSync, gzipSync } from "node:zlib";
import { type Client, createClient } from "@libsql/client/http";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { backup, restore } from "./database.ts";
import { migrate } from "./migrate.ts";
import { type RunningSqld, startSqld } from "./sqld.ts";

const dir = mkdtempSync(`${tmpdir()}/chelar-database-`);
const file = `${dir}/copy.gz`;
const servers: RunningSqld[] = [];
let from: Client;

async function emptyDatabase(): Promise<{ client: Client; server: RunningSqld }> {
  const server = await startSqld({ dir: `${dir}/sqld-${servers.length}` });
  servers.push(server);
  return { server, client: createClient({ url: server.url, authToken: server.authToken, intMode: "bigint" }) };
}

beforeAll(async () => {
  const made = await emptyDatabase();
  from = made.client;
  await migrate(made.server.url, made.server.authToken);
  await from.execute("CREATE TABLE odd (id INTEGER PRIMARY KEY AUTOINCREMENT, b BLOB, r REAL, big INTEGER, t TEXT)");
  const odd = "INSERT INTO odd (b, r, big, t) VALUES (x'00ff10', 0.5, 9007199254740993, ?)";
  await from.batch(
    [
      { sql: odd, args: ["a 'quoted' \u0000 \n word"] },
      { sql: odd, args: [null as never] },
    ],
    "write",
  );
  await from.execute("DELETE FROM odd WHERE id = 2");
  const rows = Array.from({ length: 1_203 }, (_, at) => ({
    sql: "INSERT INTO audit (at, actor, action, subject) VALUES (?, 'usr_a', 'test', ?)",
    args: [at, `row ${at}`],
  }));
  await from.batch(rows, "write");
  await backup(from, file);
}, 60_000);

afterAll(async () => {
  await Promise.all(servers.map((server) => server.stop()));
  rmSync(dir, { recursive: true, force: true });
});

const all = async (client: Client, sql: string) => (await client.execute(sql)).rows.map((row) => Object.values(row));
const SCHEMA =
  "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' AND name NOT LIKE 'libsql_%' ORDER BY name";

describe("a backup of the control plane's database", () => {
  it("comes back whole on another server: schema, rows, bytes, large numbers, and the next id", async () => {
    const { client: to, server } = await emptyDatabase();
    await restore(to, file);
    expect(await all(to, SCHEMA)).toEqual(await all(from, SCHEMA));
    for (const table of ["odd", "audit", "__drizzle_migrations", "sqlite_sequence"]) {
      const sql = `SELECT * FROM ${table} ORDER BY 1`;
      expect(await all(to, sql), table).toEqual(await all(from, sql));
    }
    // The id of a row that was deleted is not given again.
    await to.execute("INSERT INTO odd (t) VALUES ('next')");
    expect(await all(to, "SELECT max(id) FROM odd")).toEqual([[3n]]);
    // What is applied already is not applied again.
    await migrate(server.url, server.authToken);
  });

  it("is as of one moment, whatever is written meanwhile", async () => {
    const later = `${dir}/meanwhile.gz`;
    const writing = (async () => {
      for (let i = 0; i < 20; i += 1) {
        await from.batch(
          [
            "INSERT INTO audit (at, actor, action, subject) VALUES (1, 'x', 'twin', 'a')",
            "INSERT INTO audit (at, actor, action, subject) VALUES (1, 'x', 'twin', 'b')",
          ],
          "write",
        );
      }
    })();
    await Promise.all([writing, backup(from, later)]);
    const twins = gunzipSync(readFileSync(later))
      .toString()
      .split("\n")
      .filter((line) => line.includes('"twin"'));
    expect(twins.length % 2).toBe(0);
  });

  it("goes into an empty database only", async () => {
    await expect(restore(from, file)).rejects.toThrow(/not empty/);
  });

  it("changes nothing when the file was cut off", async () => {
    const lines = gunzipSync(readFileSync(file)).toString().split("\n");
    const cut = `${dir}/cut.gz`;
    writeFileSync(cut, gzipSync(`${lines.slice(0, -200).join("\n")}\n`));
    const { client: to } = await emptyDatabase();
    await expect(restore(to, cut)).rejects.toThrow(/cut off/);
    expect(await all(to, SCHEMA)).toEqual([]);
  });

  it("is readable by its owner only", () => {
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });
});
