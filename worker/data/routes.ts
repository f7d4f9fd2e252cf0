import { createRoute, z } from "@hono/zod-openapi";
import { eq } from "drizzle-orm";
import type { Context } from "hono";
import { deletionReceipts, receiptKeys } from "../../schema/db/index.ts";
import { signingJwk, snapshotName } from "../../schema/protocol/index.ts";
import { type Accounts, allows, type Caller, type Limits } from "../accounts/index.ts";
import {
  apiApp,
  byId,
  jsonBody,
  nextView,
  okJson,
  pageOf,
  pageQuery,
  refusals,
  anyone as security,
} from "../api/index.ts";
import type { Database } from "../db.ts";
import { backgroundOf, jsonOnly } from "../http.ts";
import { problem, problemResponse, type Result } from "../problem.ts";
import { receiptsOf } from "./receipt-list.ts";
import type { DataService } from "./service.ts";

/** Each reads a whole volume. */
const DOWNLOADS = { max: 20, windowSeconds: 3_600 };
const restoreBody = z.strictObject({ from: z.union([snapshotName, z.literal("backup")]) });

const storageView = z
  .object({
    usedBytes: z.int().openapi({ description: "Of ciphertext, against the hard quota." }),
    limitBytes: z.int(),
    warning: z.enum(["nearly_full", "almost_full", "full"]).nullable(),
    strays: z.int().openapi({ description: "Files that are not the agent's own, or open to others." }),
    snapshots: z.array(z.string()),
    backup: z.object({ at: z.string(), bytes: z.int(), verifiedAt: z.string().nullable() }).nullable(),
    restored: z.object({ from: z.string(), at: z.string(), tookMs: z.number(), ok: z.boolean() }).nullable(),
    at: z.string(),
    move: z.object({ to: z.string(), askedAt: z.string() }).nullable(),
    moveDownMs: z.number().nullable().openapi({ description: "Not to be reached during its last move; null before." }),
  })
  .openapi("Storage");
const receiptView = z
  .object({
    id: z.string(),
    tenantId: z.string(),
    name: z.string(),
    receipt: z.string().openapi({ description: "Compact JWS; its keys are at /.well-known/chelar-receipt-keys.json." }),
    url: z.string(),
    at: z.string(),
  })
  .openapi("Receipt");

/** Where everybody finds the keys that receipts verify with (RFC 7517), for as long as there are receipts. */
export const RECEIPT_KEYS_PATH = "/.well-known/chelar-receipt-keys.json";

/** Receipts, for their owners and for whoever was given one. */
export function dataRoutes({
  db,
  accounts,
  service,
  limits,
}: {
  db: Database;
  accounts: Pick<Accounts, "caller">;
  service: DataService;
  limits: Pick<Limits, "take"> | null;
}) {
  const app = apiApp<{ Variables: { caller: Caller } }>();

  app.get(RECEIPT_KEYS_PATH, async (c) => {
    const rows = await db.select().from(receiptKeys).orderBy(receiptKeys.firstUsedAt);
    const keys = rows.map(({ kid, jwk }) => ({ ...signingJwk.parse(JSON.parse(jwk)), kid, alg: "EdDSA", use: "sig" }));
    return c.json({ keys }, 200, { "content-type": "application/jwk-set+json" });
  });

  /** By an id of 128 random bits: it outlives the account that could have signed in for it. */
  app.get("/receipts/:id", async (c) => {
    const [found] = await db
      .select()
      .from(deletionReceipts)
      .where(eq(deletionReceipts.id, c.req.param("id")));
    if (!found) return problemResponse(problem("not_found"));
    return c.body(found.receipt, 200, { "content-type": "application/jose" });
  });

  /** Only for whoever is signed in, or has a key that allows it. */
  for (const path of ["storage", "backup", "restore", "move", "files"]
    .map((name) => `/api/v1/tenants/:id/${name}`)
    .concat("/api/v1/receipts")) {
    app.use(path, jsonOnly, async (c, next) => {
      const caller = await accounts.caller(c.req.raw.headers);
      if (!caller) return problemResponse(problem("unauthenticated"));
      if (!allows(caller, c.req.method)) return problemResponse(problem("insufficient_scope"));
      c.set("caller", caller);
      await next();
    });
  }
  const accepted = (c: Context, result: Result<null>) =>
    (result.ok ? c.body(null, 202) : problemResponse(result.problem)) as never;

  const storage = createRoute({
    method: "get",
    path: "/api/v1/tenants/{id}/storage",
    security,
    request: { params: byId },
    responses: {
      200: okJson(z.object({ storage: storageView.nullable() }), "What its server last said of its data"),
      ...refusals,
    },
  });
  app.openapi(storage, async (c) => {
    const found = await service.storage(c.var.caller.person, c.req.valid("param").id);
    return found.ok ? c.json({ storage: found.value }, 200) : (problemResponse(found.problem) as never);
  });

  const backup = createRoute({
    method: "post",
    path: "/api/v1/tenants/{id}/backup",
    security,
    request: { params: byId },
    responses: { 202: { description: "A copy in object storage is being made, besides the plan's" }, ...refusals },
  });
  app.openapi(backup, async (c) =>
    accepted(c, await service.backup(c.var.caller.person, c.req.valid("param").id, backgroundOf(c))),
  );

  const restore = createRoute({
    method: "post",
    path: "/api/v1/tenants/{id}/restore",
    security,
    request: { params: byId, ...jsonBody(restoreBody) },
    responses: { 202: { description: "It starts with what it had then" }, ...refusals },
  });
  app.openapi(restore, async (c) =>
    accepted(
      c,
      await service.restore(c.var.caller.person, c.req.valid("param").id, c.req.valid("json").from, backgroundOf(c)),
    ),
  );

  const move = createRoute({
    method: "post",
    path: "/api/v1/tenants/{id}/move",
    security,
    request: { params: byId },
    responses: { 202: { description: "On its way to another server: stopped, copied, started there" }, ...refusals },
  });
  app.openapi(move, async (c) =>
    accepted(c, await service.move(c.var.caller.person, c.req.valid("param").id, backgroundOf(c))),
  );

  const files = createRoute({
    method: "get",
    path: "/api/v1/tenants/{id}/files",
    security,
    request: { params: byId },
    responses: {
      200: {
        description: "Its own files as one tar, from a snapshot; a key needs the scope agents:open",
        content: { "application/x-tar": { schema: z.string().openapi({ format: "binary" }) } },
      },
      ...refusals,
    },
  });
  app.openapi(files, async (c) => {
    const { person, scopes } = c.var.caller;
    // What the agent has written is what opening it would show.
    if (scopes !== null && !scopes.includes("agents:open"))
      return problemResponse(problem("insufficient_scope")) as never;
    const id = c.req.valid("param").id;
    const wait = (await limits?.take([[{ key: `files ${person.id}`, ...DOWNLOADS }]])) ?? null;
    if (wait !== null) return problemResponse(problem("rate_limited", { retryAfterSeconds: wait })) as never;
    const found = await service.files(person, id, c.req.raw.signal);
    if (!found.ok) return problemResponse(found.problem) as never;
    const { name, body } = found.value;
    const disposition = `attachment; filename="${name}.tar"`;
    return new Response(body, {
      headers: { "content-type": "application/x-tar", "content-disposition": disposition, "cache-control": "no-store" },
    }) as never;
  });

  const receipts = createRoute({
    method: "get",
    path: "/api/v1/receipts",
    security,
    request: { query: pageQuery },
    responses: {
      200: okJson(z.object({ receipts: z.array(receiptView), ...nextView }), "Of your deleted agents, newest first"),
      ...refusals,
    },
  });
  app.openapi(receipts, async (c) => {
    const all = await receiptsOf(db, c.var.caller.person.id);
    const { page, next } = pageOf(all, c.req.valid("query"), ({ at, id }) => `${at} ${id}`, "falling");
    return c.json({ receipts: page, next }, 200);
  });

  return app;
}
