import { createHash, timingSafeEqual } from "node:crypto";
import { and, eq, gt, isNull, ne, sql } from "drizzle-orm";
import { z } from "zod";
import { audit, enrolmentTokens, hosts } from "../../schema/db/index.ts";
import {
  type EnrolRequest,
  type EnrolResponse,
  enrolRequest,
  fromBase64url,
  importSigningKey,
  keyId,
  newId,
  type PublicKeyset,
  publicPart,
  type SealingJwk,
  type SigningJwk,
  toBase64url,
  verifyEnvelope,
} from "../../schema/protocol/index.ts";
import type { World } from "../clock.ts";
import { heldOf } from "../command-keys.ts";
import { atomically, changedOne, type Database, insist, isGuardFailure } from "../db.ts";
import { good, type Result, refuse } from "../problem.ts";
import { resolveAlert } from "./alerts.ts";

const TOKEN_LIFETIME_MS = 10 * 60_000;
const TOKEN_BYTES = 32;

const sha256 = (text: string) => createHash("sha256").update(text).digest();
export const tokenHash = (token: string) => sha256(token).toString("base64url");

/** Compares digests, so that neither content nor length of the right token shows in the time it takes. */
export function isOperator(authorization: string | undefined, operatorToken: string): boolean {
  const shown = /^Bearer ([\x21-\x7e]{1,512})$/.exec(authorization ?? "")?.[1] ?? "";
  return timingSafeEqual(sha256(shown), sha256(operatorToken));
}

/** A one-time token for one host. Only its hash stays here. */
export async function issueToken(db: Database, world: World): Promise<{ token: string; expiresAt: string }> {
  const token = `chelar-enrol.${toBase64url(world.random(TOKEN_BYTES))}`;
  const now = world.now();
  const expiresAt = now + TOKEN_LIFETIME_MS;
  const hash = tokenHash(token);
  await atomically(db, [
    db.insert(enrolmentTokens).values({ hash, createdBy: "operator", createdAt: now, expiresAt }),
    db.insert(audit).values({ at: now, actor: "operator", action: "host.token", subject: hash.slice(0, 8) }),
  ]);
  return { token, expiresAt: new Date(expiresAt).toISOString() };
}

const badToken = refuse("enrolment_refused", { detail: "The token is unknown, used or expired." });
const notOwnKey = refuse("enrolment_refused", { detail: "The request is not signed with the key that it shows." });

export interface EnrolContext {
  db: Database;
  world: World;
  /** Our name, and the origin that this request was sent to. */
  edge: string;
  calledAs: string;
  keyset: PublicKeyset;
}

const normal = (jwk: SigningJwk | SealingJwk) => JSON.stringify(publicPart(jwk));

const payload = z.object({ aud: z.string(), enrolment: enrolRequest });

/** Reads what a message claims, to know whose key must have signed it. */
function readClaimed(compact: string): Result<z.infer<typeof payload>> {
  const bytes = fromBase64url(compact.split(".")[1] ?? "");
  let raw: unknown = null;
  try {
    raw = bytes && JSON.parse(new TextDecoder().decode(bytes));
  } catch {}
  const parsed = payload.safeParse(raw);
  if (parsed.success) return good(parsed.data);
  // Which part is wrong may be said: it is the operator's own typing, and no secret is repeated.
  const field = parsed.error.issues[0]?.path.slice(1).join(".") || undefined;
  return refuse("invalid_body", { field });
}

/** The host has the key that it brings, meant this edge, and signed a moment ago. */
async function readProven(
  compact: string,
  claimed: z.infer<typeof payload>,
  { world, edge, calledAs }: EnrolContext,
): Promise<Result<EnrolRequest>> {
  const { signing } = claimed.enrolment;
  const kid = await keyId(signing);
  const nowSeconds = Math.floor(world.now() / 1000);
  const verdict = await verifyEnvelope("enrolment", compact, {
    nowSeconds,
    issuer: kid,
    // Under another name only where there is no TLS, on a developer's own network: elsewhere whoever relays the message of
    // a host that was lured to him would only have to call us by his name.
    audience: edge.startsWith("http:") && claimed.aud === calledAs ? calledAs : edge,
    epoch: 0,
    keys: new Map([[kid, await importSigningKey(signing)]]),
  });
  if (verdict.ok) return good(verdict.claims.enrolment);
  const { reason } = verdict.refusal;
  console.warn(JSON.stringify({ event: "enrolment_refused", why: reason }));
  if (reason !== "expired" && reason !== "not_yet_valid") return notOwnKey;
  const time = new Date(nowSeconds * 1000).toISOString();
  return refuse("enrolment_refused", { detail: `The host's clock is wrong: here it is ${time}.` });
}

/**
 * Takes a host in. It shows a token and proves that it has the signing key; the token is consumed in the same
 * transaction, so it works once even for two at the same moment. A known name with the same two keys is the same server
 * again: it keeps its id and starts a new epoch, which makes every older command and report worthless. A known name with
 * another key is somebody else; with another sealing key too, since secrets would be sealed to the new one.
 */
export async function enrolHost(compact: string, context: EnrolContext): Promise<Result<EnrolResponse>> {
  const { db, world, edge, keyset } = context;
  const claimed = readClaimed(compact);
  if (!claimed.ok) return claimed;
  if (!/^https?:$/.test(new URL(claimed.value.enrolment.endpoint).protocol)) {
    return refuse("invalid_body", { field: "endpoint" });
  }
  const now = world.now();
  const hash = tokenHash(claimed.value.enrolment.token);
  const isGood = and(
    eq(enrolmentTokens.hash, hash),
    isNull(enrolmentTokens.usedAt),
    gt(enrolmentTokens.expiresAt, now),
  );
  // First of all, or strangers could ask which hosts there are. That it works once is the transaction's word below.
  if ((await db.select().from(enrolmentTokens).where(isGood)).length === 0) return badToken;
  const proven = await readProven(compact, claimed.value, context);
  if (!proven.ok) return proven;
  const request = proven.value;
  const known = (
    await db
      .select()
      .from(hosts)
      .where(and(eq(hosts.name, request.name), ne(hosts.state, "removed")))
  )[0];
  const [signingKey, sealingKey] = [normal(request.signing), normal(request.sealing)];
  if (known && (known.signingKey !== signingKey || known.sealingKey !== sealingKey)) {
    return refuse("enrolment_refused", { detail: "A host of this name is enrolled with another key." });
  }

  const id = known?.id ?? newId("hst");
  const epoch = (known?.epoch ?? 0) + 1;
  const row: typeof hosts.$inferInsert = {
    id,
    name: request.name,
    region: request.region,
    endpoint: new URL(request.endpoint).origin,
    // One that an operator drains comes back as that: to update a server is not to open it again.
    state: known?.state ?? "enrolled",
    epoch,
    signingKey,
    sealingKey,
    ingressHash: request.ingressHash ?? null,
    memoryMiB: request.capacity.memoryMiB,
    diskMiB: request.capacity.diskMiB,
    maxTenants: request.capacity.tenants,
    // It holds what this answer brings; everything else about itself it has yet to be told.
    keyset: JSON.stringify(heldOf(keyset)),
    desiredHash: null,
    // Its journal may be a new one that counts from the start again.
    reportSeq: 0,
    reportSignedAt: 0,
    enrolledAt: now,
  };
  try {
    await atomically(db, [
      db.update(enrolmentTokens).set({ usedAt: now, usedBy: id }).where(isGood),
      insist(db, changedOne),
      ...(known
        ? [
            db
              .update(hosts)
              .set(row)
              .where(and(eq(hosts.id, id), eq(hosts.epoch, known.epoch), eq(hosts.state, known.state))),
            insist(db, changedOne),
          ]
        : [
            db.insert(hosts).values(row),
            insist(
              db,
              sql`(select count(*) from ${hosts} where ${hosts.name} = ${row.name} and ${hosts.state} <> 'removed') = 1`,
            ),
          ]),
      resolveAlert(db, "host_rolled_back", id, now),
      db.insert(audit).values({
        at: now,
        actor: id,
        action: known ? "host.enrolled_again" : "host.enrolled",
        subject: id,
        detail: JSON.stringify({ name: row.name, region: row.region, epoch }),
      }),
    ]);
  } catch (error) {
    // Unknown, used, expired or lost against another: a guesser learns nothing from the difference.
    if (isGuardFailure(error)) return badToken;
    throw error;
  }
  return good({ hostId: id, epoch, edge, keyset });
}
