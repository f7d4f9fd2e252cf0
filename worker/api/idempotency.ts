import { createHmac } from "node:crypto";
import { and, eq, isNull, lt, sql } from "drizzle-orm";
import type { Context, MiddlewareHandler } from "hono";
import { idempotencyKeys } from "../../schema/db/index.ts";
import { fromBase64url, idFrom, toBase64url } from "../../schema/protocol/index.ts";
import type { World } from "../clock.ts";
import { changedOne, type Database, insist, riding, type Statement } from "../db.ts";
import { problem, problemResponse } from "../problem.ts";
import { decideAgain, IDEMPOTENCY_KEY, KEPT_MS, LEASE_MS, lookFor } from "./rules.ts";

const HEADERS_KEPT = ["content-type", "location"];
interface Answer {
  status: number;
  headers: Record<string, string>;
  body: string;
}

export interface IdempotencyOptions {
  db: Database;
  world: World;
  /** What hashes and seals are keyed with. */
  secret: string;
  /** Who calls, and how far that reaches; null for nobody, whom the room itself refuses. */
  callerOf(headers: Headers): Promise<string | null>;
  /** A GET with the same credentials. */
  look(path: string, headers: Headers): Promise<Response>;
}

/**
 * `Idempotency-Key` on every POST of the API (draft-ietf-httpapi-idempotency-key-header-07). The key is taken on before
 * the work begins; the work's own transaction writes that it is done, and fails when the key has been taken over
 * meanwhile: so there is one effect, wherever either of them is ended. A refusal had no effect and gives the key back.
 */
export function createIdempotency({ db, world, secret, callerOf, look }: IdempotencyOptions) {
  const table = idempotencyKeys;

  /** Takes the key on; false when somebody else has it or it has been used. */
  async function take(id: string, request: string, claim: string): Promise<boolean> {
    const now = world.now();
    const isAbandoned = sql`${table.answer} is null and ${table.doneAt} is null
      and ${table.claimedAt} <= ${now - LEASE_MS} and ${table.request} = ${request}`;
    const fresh = { request, claim, claimedAt: now, doneAt: null, answer: null, expiresAt: now + KEPT_MS };
    const rows = await db
      .insert(table)
      .values({ id, ...fresh })
      .onConflictDoUpdate({
        target: table.id,
        set: fresh,
        setWhere: sql`(${isAbandoned}) or ${table.expiresAt} <= ${now}`,
      })
      .returning({ id: table.id });
    return rows.length === 1;
  }

  async function again(c: Context, names: Names, request: string): Promise<Response> {
    const [kept] = await db.select().from(table).where(eq(table.id, names.id));
    const what = decideAgain(kept, request, world.now());
    switch (what) {
      case "replay": {
        const { status, headers, body } = await open(names, kept?.answer as string);
        const isEmpty = status === 204 || body === "";
        return new Response(isEmpty ? null : body, { status, headers: { ...headers, "idempotency-replayed": "true" } });
      }
      case "other_request":
        return problemResponse(problem("idempotency_key_reused", { field: "Idempotency-Key" }));
      case "in_progress":
        return problemResponse(problem("idempotency_in_progress", { retryAfterSeconds: 1 }));
      case "answer_lost": {
        const found = lookFor(c.req.path, names.tenantId);
        if (!found) return problemResponse(problem("already_done"));
        const { status, headers, body } = await look(found.path, credentialsOf(c.req.raw.headers));
        const location = { location: found.path, "idempotency-replayed": "true" };
        return new Response(body, {
          status: status === 200 ? found.status : status,
          headers: withAll(headers, location),
        });
      }
    }
  }

  const middleware: MiddlewareHandler = async (c, next) => {
    const key = c.req.header("idempotency-key");
    if (key === undefined || c.req.method !== "POST") return next();
    if (!IDEMPOTENCY_KEY.test(key)) {
      const detail = "It takes 1 to 255 printable ASCII characters.";
      return problemResponse(problem("invalid_body", { field: "Idempotency-Key", detail }));
    }
    const caller = await callerOf(c.req.raw.headers);
    if (caller === null) return next();
    const names = namesOf(secret, caller, key);
    const request = names.hash(`${c.req.path}\n`, new Uint8Array(await c.req.arrayBuffer()));
    const claim = toBase64url(world.random(16));
    if (!(await take(names.id, request, claim))) return again(c, names, request);

    const mine = and(eq(table.id, names.id), eq(table.claim, claim));
    const done: Statement[] = [db.update(table).set({ doneAt: world.now() }).where(mine), insist(db, changedOne)];
    c.set("ownId", names.tenantId);
    const rider = { statements: done };
    await riding.run(rider, next);
    const isDone = rider.statements.length === 0;
    // Nothing that comes later, after the answer, is part of what was asked for.
    rider.statements = [];
    if (!c.res.ok && !isDone) {
      await db.delete(table).where(and(mine, isNull(table.doneAt)));
      return;
    }
    const kept = HEADERS_KEPT.flatMap((name) => (c.res.headers.has(name) ? [[name, c.res.headers.get(name)]] : []));
    const body = c.res.body === null ? "" : await c.res.clone().text();
    const answer = await seal(names, { status: c.res.status, headers: Object.fromEntries(kept), body }, world);
    await db.update(table).set({ answer }).where(mine);
  };

  return {
    middleware,
    async tick() {
      await db.delete(table).where(lt(table.expiresAt, world.now()));
    },
  };
}

/** Everything that a key of one caller's is good for. Without the key, nothing in its row can be read or guessed. */
function namesOf(secret: string, caller: string, key: string) {
  const derive = (label: string) => createHmac("sha256", secret).update(`idempotency ${label}\0${caller}\0${key}`);
  const requests = derive("requests").digest();
  return {
    id: derive("id").digest("base64url"),
    /** The id of an agent that is created under it: a second creation finds the first. */
    tenantId: idFrom("tnt", new Uint8Array(derive("tenant").digest()).slice(0, 16)),
    sealing: new Uint8Array(derive("answers").digest()),
    hash: (path: string, body: Uint8Array) =>
      createHmac("sha256", requests).update(path).update(body).digest("base64url"),
  };
}
type Names = ReturnType<typeof namesOf>;

const NONCE_BYTES = 12;
const keyOf = ({ sealing }: Names) => crypto.subtle.importKey("raw", sealing, "AES-GCM", false, ["encrypt", "decrypt"]);

async function seal(names: Names, answer: Answer, world: World): Promise<string> {
  const iv = world.random(NONCE_BYTES);
  const text = new TextEncoder().encode(JSON.stringify(answer));
  const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, await keyOf(names), text);
  return toBase64url(new Uint8Array([...iv, ...new Uint8Array(sealed)]));
}

async function open(names: Names, text: string): Promise<Answer> {
  const bytes = fromBase64url(text) ?? new Uint8Array();
  const algorithm = { name: "AES-GCM", iv: bytes.slice(0, NONCE_BYTES) };
  const opened = await crypto.subtle.decrypt(algorithm, await keyOf(names), bytes.slice(NONCE_BYTES));
  return JSON.parse(new TextDecoder().decode(opened)) as Answer;
}

const credentialsOf = (headers: Headers) =>
  new Headers(
    ["authorization", "cookie"].flatMap((name) => (headers.has(name) ? [[name, headers.get(name) ?? ""]] : [])),
  );

function withAll(headers: Headers, more: Record<string, string>): Headers {
  const all = new Headers(headers);
  for (const [name, value] of Object.entries(more)) all.set(name, value);
  return all;
}
