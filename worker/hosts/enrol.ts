import { createHash, timingSafeEqual } from "node:crypto";
import { and, eq, gt, isNull, ne, sql } from "drizzle-orm";
import { audit, enrolmentTokens, hosts } from "../../schema/db/index.ts";
import {
  type EnrolRequest,
  type EnrolResponse,
  newId,
  type PublicKeyset,
  publicPart,
  type SealingJwk,
  type SigningJwk,
  toBase64url,
} from "../../schema/protocol/index.ts";
import type { World } from "../clock.ts";
import { atomically, changedOne, type Database, insist, isGuardFailure } from "../db.ts";
import { good, type Result, refuse } from "../problem.ts";

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

export interface EnrolContext {
  db: Database;
  world: World;
  edge: string;
  keyset: PublicKeyset;
}

const normal = (jwk: SigningJwk | SealingJwk) => JSON.stringify(publicPart(jwk));

/**
 * Takes a host in. The token is consumed in the same transaction, so it works once even for two at the same moment.
 * A known name with the same two keys is the same server again: it keeps its id and starts a new epoch, which makes
 * every older command and report worthless. A known name with another key is somebody else; with another sealing key
 * too, since a signing key shown here is public and proves nothing, and secrets would be sealed to the new one.
 */
export async function enrolHost(request: EnrolRequest, context: EnrolContext): Promise<Result<EnrolResponse>> {
  const { db, world, edge, keyset } = context;
  if (!/^https?:$/.test(new URL(request.endpoint).protocol)) return refuse("invalid_body", { field: "endpoint" });
  const now = world.now();
  const hash = tokenHash(request.token);
  const isGood = and(
    eq(enrolmentTokens.hash, hash),
    isNull(enrolmentTokens.usedAt),
    gt(enrolmentTokens.expiresAt, now),
  );
  // First of all, or strangers could ask which hosts there are. That it works once is the transaction's word below.
  if ((await db.select().from(enrolmentTokens).where(isGood)).length === 0) return badToken;
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
    state: "enrolled",
    epoch,
    signingKey,
    sealingKey,
    ingressHash: request.ingressHash ?? null,
    memoryMiB: request.capacity.memoryMiB,
    diskMiB: request.capacity.diskMiB,
    maxTenants: request.capacity.tenants,
    // Its journal may be a new one that counts from the start again.
    reportSeq: 0,
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
              .where(and(eq(hosts.id, id), eq(hosts.epoch, known.epoch))),
            insist(db, changedOne),
          ]
        : [
            db.insert(hosts).values(row),
            insist(
              db,
              sql`(select count(*) from ${hosts} where ${hosts.name} = ${row.name} and ${hosts.state} <> 'removed') = 1`,
            ),
          ]),
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
