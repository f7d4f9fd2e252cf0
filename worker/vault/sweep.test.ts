import { and, eq, inArray, ne } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { audit, secrets, tenantSalts, vaultWraps } from "../../schema/db/index.ts";
import { newId, toBase64url } from "../../schema/protocol/index.ts";
import { type Database, openDatabase } from "../db.ts";
import { OPERATOR_TOKEN, startTestEdge, type TestEdge, testBindings } from "../testing/edge.ts";
import { tenantKeys } from "./envelope.ts";
import { type Bytes, type Keyring, WRAP_WARNING } from "./rules.ts";
import { Secret } from "./secret.ts";
import { createVault, eraseTenant } from "./service.ts";
import { type Cursor, sweep, vaultStatus, verify } from "./sweep.ts";

const random = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes));
const all = new Map([1, 2].map((version) => [version, random(32)]));
const before: Keyring = { current: 1, floor: 1, keys: new Map([[1, all.get(1) as Bytes]]) };
const during: Keyring = { current: 2, floor: 1, keys: all };
const after: Keyring = { current: 2, floor: 2, keys: new Map([[2, all.get(2) as Bytes]]) };

let edge: TestEdge;
let db: Database;
beforeAll(async () => {
  edge = await startTestEdge();
  db = edge.db;
});

const NAMES = ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "TELEGRAM_BOT_TOKEN"];
const valueFor = (tenantId: string, name: string) => `value of ${name} of ${tenantId}`;

/** Tenants with three secrets each, under the old key. */
async function seed(tenants: number): Promise<string[]> {
  const vault = createVault({ db, world: edge.world, ring: before });
  const ids = Array.from({ length: tenants }, () => newId("tnt"));
  for (const tenantId of ids) {
    const values = NAMES.map((name) => ({ name, version: 1, secret: new Secret(valueFor(tenantId, name)) }));
    const { statements } = await vault.sealFirst({ tenantId, by: "usr_test", at: 1, values });
    await db.batch(statements as [(typeof statements)[0]]);
  }
  return ids;
}

/** How many of the tenants' secrets say what they should under that ring. */
async function readable(ids: readonly string[], ring: Keyring): Promise<number> {
  const rows = await db
    .select()
    .from(secrets)
    .where(inArray(secrets.tenantId, [...ids]));
  const salts = await db
    .select()
    .from(tenantSalts)
    .where(inArray(tenantSalts.tenantId, [...ids]));
  let count = 0;
  for (const row of rows) {
    const salt = salts.find(({ tenantId }) => tenantId === row.tenantId)?.salt ?? null;
    const opened = await tenantKeys(ring, row.tenantId, salt).open(row, row);
    if (opened.ok && opened.secret.reveal() === valueFor(row.tenantId, row.name)) count += 1;
  }
  return count;
}

async function sweepAll(ring = during, by = db, limit = 4): Promise<number> {
  let [done, cursor] = [0, null as Cursor | null];
  do {
    const pass = await sweep({ db: by, world: edge.world, ring }, { after: cursor, limit });
    done += pass.done;
    cursor = pass.next;
  } while (cursor !== null);
  return done;
}

/** A database whose n-th statement is the last: it never leaves us, or it is done and we die before we hear of it. */
async function dyingAt(statement: number, when: "before" | "after"): Promise<{ db: Database; count(): number }> {
  const { DATABASE_URL: url = "", DATABASE_AUTH_TOKEN: authToken = "" } = await testBindings();
  let count = 0;
  const fetcher: typeof fetch = async (input, init) => {
    count += 1;
    if (count > statement || (count === statement && when === "before")) throw new Error("killed");
    const response = await fetch(input, init);
    if (count < statement) return response;
    await response.arrayBuffer();
    throw new Error("killed");
  };
  return { db: openDatabase({ url, authToken }, fetcher), count: () => count };
}

describe("the sweep", () => {
  it("may be killed at every statement: each secret stays readable, and the same call completes it", async () => {
    const tally = { kills: 0, statements: 0 };
    for (let statement = 1, ended = false; !ended; statement++) {
      for (const when of ["before", "after"] as const) {
        const ids = await seed(3);
        const dying = await dyingAt(statement, when);
        const died = await sweepAll(during, dying.db).then(
          () => false,
          () => true,
        );
        ended = !died;
        tally.kills += died ? 1 : 0;
        tally.statements = Math.max(tally.statements, dying.count());
        expect(await readable(ids, during)).toBe(9);
        await sweepAll();
        expect(await readable(ids, after)).toBe(9);
        expect(await readable(ids, before)).toBe(0);
      }
    }
    console.log(`sweep: ${tally.statements} statements, killed ${tally.kills} times`);
    expect(tally.kills).toBeGreaterThanOrEqual(2 * (tally.statements - 1));
  });

  it("leaves values alone, counts its wraps, says so in the audit, and finds nothing the second time", async () => {
    const ids = await seed(2);
    const mine = inArray(secrets.tenantId, ids);
    const sealed = () => db.select({ nonce: secrets.nonce, text: secrets.ciphertext }).from(secrets).where(mine);
    const wraps = async () => (await db.select().from(vaultWraps).where(eq(vaultWraps.keyVersion, 2)))[0]?.wraps ?? 0;
    const [values, counted] = [await sealed(), await wraps()];
    expect(await sweepAll()).toBe(6);
    expect(await sealed()).toEqual(values);
    expect(await wraps()).toBe(counted + 6);
    const trail = await db.select().from(audit).where(eq(audit.action, "vault.sweep"));
    expect(trail.at(-1)).toMatchObject({ actor: "operator", subject: "vault" });
    expect(await sweepAll()).toBe(0);
  });

  it("makes rows of format 1 anew, whose tenants never had a salt", async () => {
    const [id = ""] = await seed(1);
    // As the code before salts wrote them.
    const format1 = async (name: string) => {
      const part = (what: string, ...more: unknown[]) =>
        new TextEncoder().encode(JSON.stringify(["chelar-vault", what, 1, id, name, 1, ...more])) as Bytes;
      const encrypt = async (key: Bytes, data: Bytes, context: Bytes) => {
        const imported = await crypto.subtle.importKey("raw", key, "AES-GCM", false, ["encrypt"]);
        const iv = random(12);
        const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv, additionalData: context }, imported, data);
        return [toBase64url(iv), toBase64url(new Uint8Array(sealed))] as const;
      };
      const dataKey = random(32);
      const [nonce, ciphertext] = await encrypt(
        dataKey,
        new TextEncoder().encode(valueFor(id, name)) as Bytes,
        part("value"),
      );
      const [wrapNonce, wrappedKey] = await encrypt(all.get(1) as Bytes, dataKey, part("key", 1));
      return { format: 1, keyVersion: 1, keyCommitment: null, nonce, ciphertext, wrapNonce, wrappedKey };
    };
    for (const name of NAMES) {
      await db
        .update(secrets)
        .set(await format1(name))
        .where(and(eq(secrets.tenantId, id), eq(secrets.name, name)));
    }
    await db.delete(tenantSalts).where(eq(tenantSalts.tenantId, id));
    expect(await readable([id], during)).toBe(3);
    expect(await sweepAll()).toBe(3);
    expect(await readable([id], after)).toBe(3);
  });

  it("never overwrites what an owner writes meanwhile", async () => {
    const [id = ""] = await seed(1);
    const fresh = await createVault({ db, world: edge.world, ring: during }).seal({
      ...{ tenantId: id, by: "usr_test", at: 2 },
      values: [{ name: "OPENAI_API_KEY", version: 1, secret: new Secret("the newer one") }],
    });
    let written = false;
    const racing = new Proxy(db, {
      get(target, name, receiver) {
        if (name !== "batch") return Reflect.get(target, name, receiver);
        return async (statements: Parameters<Database["batch"]>[0]) => {
          if (!written) await target.batch(fresh?.statements as never);
          written = true;
          return target.batch(statements);
        };
      },
    });
    await sweepAll(during, racing, 10);
    const row = (await db.select().from(secrets).where(eq(secrets.tenantId, id))).find(
      ({ name }) => name === "OPENAI_API_KEY",
    );
    expect(row?.wrappedKey).toBe(fresh?.rows[0]?.wrappedKey);
    const salt = (await db.select().from(tenantSalts).where(eq(tenantSalts.tenantId, id)))[0]?.salt ?? null;
    const opened = row && (await tenantKeys(after, id, salt).open(row, row));
    expect(opened?.ok && opened.secret.reveal()).toBe("the newer one");
  });

  it("goes past a row that nobody can read, and names it", async () => {
    const [id = ""] = await seed(1);
    const broken = and(eq(secrets.tenantId, id), eq(secrets.name, "OPENAI_API_KEY"));
    await db
      .update(secrets)
      .set({ wrappedKey: toBase64url(random(48)) })
      .where(broken);
    const context = { db, world: edge.world, ring: during };
    expect(await sweep(context, { after: null, limit: 100 })).toEqual({
      ...{ done: 2, unreadable: [[id, "OPENAI_API_KEY"]], next: null },
    });
    expect((await verify(context, { after: null, limit: 1_000 })).unreadable).toEqual([[id, "OPENAI_API_KEY"]]);
    await db.delete(secrets).where(broken);
    expect((await verify(context, { after: null, limit: 1_000 })).unreadable).toEqual([]);
  });
});

describe("destroying a tenant's salt", () => {
  it("makes its secrets unreadable in a copy of the database, for whoever has the ring and the database of today", async () => {
    const [id = "", other = ""] = await seed(2);
    const copy = await db.select().from(secrets).where(eq(secrets.tenantId, id));
    await db.batch(eraseTenant(db, id, 5) as never);
    const salt = (await db.select().from(tenantSalts).where(eq(tenantSalts.tenantId, id)))[0];
    expect(salt).toMatchObject({ salt: null, erasedAt: 5 });
    for (const row of copy) expect((await tenantKeys(during, id, salt?.salt ?? null).open(row, row)).ok).toBe(false);
    expect(await readable([other], during)).toBe(3);
    // Neither a late write nor a second deletion begins anew.
    const late = { tenantId: id, by: "usr_test", at: 6, values: [] };
    expect(await createVault({ db, world: edge.world, ring: during }).seal(late)).toBeNull();
    await db.batch(eraseTenant(db, id, 7) as never);
    expect((await db.select().from(tenantSalts).where(eq(tenantSalts.tenantId, id)))[0]?.erasedAt).toBe(5);
  });

  it("is final for every older copy once the key of that time is retired", async () => {
    const [id = ""] = await seed(1);
    const row = (await db.select().from(secrets).where(eq(secrets.tenantId, id)))[0];
    const salt = (await db.select().from(tenantSalts).where(eq(tenantSalts.tenantId, id)))[0]?.salt ?? null;
    if (!row) throw new Error("not seeded");
    await db.batch(eraseTenant(db, id, 5) as never);
    // A backup of before holds row and salt: while the key is in the ring, it is readable.
    expect((await tenantKeys(during, id, salt).open(row, row)).ok).toBe(true);
    expect((await tenantKeys(after, id, salt).open(row, row)).ok).toBe(false);
  });
});

describe("the operator's view", () => {
  const ask = (path: string, init: RequestInit = {}, token = OPERATOR_TOKEN) =>
    edge.send(`/api/v1/operator/vault${path}`, {
      ...init,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    });

  it("is the operator's alone, and shows no key", async () => {
    for (const [path, method] of [
      ["", "GET"],
      ["/sweep", "POST"],
      ["/verify", "POST"],
    ] as const) {
      const body = method === "POST" ? JSON.stringify({ after: null, limit: 1 }) : undefined;
      expect((await ask(path, { method, body }, "wrong")).status).toBe(401);
    }
    const text = await (await ask("")).text();
    for (const key of edge.config.vaultKeys.keys.values()) expect(text).not.toContain(toBase64url(key));
    expect(JSON.parse(text)).toMatchObject({ current: 1, floor: 1 });
  });

  it.each(["{}", '{"after":null,"limit":0}', '{"after":null,"limit":5000}', '{"after":["a"],"limit":5}', "["])(
    "refuses %s",
    async (body) => {
      expect((await ask("/sweep", { method: "POST", body })).status).toBe(400);
    },
  );

  it("says which secrets are under which key, and warns of a used-up or missing key", async () => {
    await db.delete(secrets).where(ne(secrets.keyVersion, 99));
    const ids = await seed(1);
    await db.update(vaultWraps).set({ wraps: WRAP_WARNING }).where(eq(vaultWraps.keyVersion, 1));
    const status = await vaultStatus({ db, world: edge.world, ring: during });
    expect(status).toMatchObject({ current: 2, floor: 1, stale: 3 });
    expect(status.keys.map(({ version, secrets: held }) => [version, held])).toEqual([
      [1, 3],
      [2, 0],
    ]);
    expect(status.warnings).toEqual([expect.stringContaining("Key 1 has wrapped 268435456 times")]);
    expect((await vaultStatus({ db, world: edge.world, ring: after })).warnings).toContain(
      "3 secrets are under key 1, which is not there.",
    );
    await db.delete(secrets).where(inArray(secrets.tenantId, ids));
  });
});

it("a pass over many rows begins where the last one ended", async () => {
  const ids = await seed(4);
  let [cursor, done, passes] = [null as Cursor | null, 0, 0];
  do {
    const pass = await verify({ db, world: edge.world, ring: during }, { after: cursor, limit: 5 });
    [cursor, done, passes] = [pass.next, done + pass.done, passes + 1];
  } while (cursor !== null);
  expect([done, passes]).toEqual([12, 3]);
  expect(await readable(ids, during)).toBe(12);
});
