import { eq, getTableName, inArray } from "drizzle-orm";
import { accountDeletions, audit, tenants } from "../../schema/db/index.ts";
import { importSigningKey, keyId, signStatement } from "../../schema/protocol/index.ts";
import { HOLDINGS, rowsOf } from "../data/holdings.ts";
import type { Client, TestEdge } from "./edge.ts";
import type { TestHost } from "./host.ts";

/** The host says, signed, that nothing is left of an agent. */
export async function proveGone(edge: TestEdge, host: TestHost, tenantId: string): Promise<void> {
  const [row] = await edge.db.select().from(tenants).where(eq(tenants.id, tenantId));
  const generation = row?.generation ?? 1;
  const steps = [{ step: "remove_volume", at: Date.now(), checked: "no subvolume of it" }];
  const words = { iss: host.enrolment.hostId, sub: tenantId, iat: Math.floor(Date.now() / 1_000), generation, steps };
  const key = { kid: await keyId(host.signing), privateKey: await importSigningKey(host.signing) };
  const statement = await signStatement("host", { ...words, remains: [] }, key);
  const compact = await host.report(
    { type: "tenant.receipt", tenantId, generation, statement },
    { type: "tenant.state", tenantId, generation, state: "purged" },
  );
  await host.post(edge, compact);
}

/** Hosts that do as they are told: every agent that must go is gone, and proven so. */
export async function hostsWork(edge: TestEdge, host: TestHost, userId: string): Promise<void> {
  const rows = await edge.db.select().from(tenants).where(eq(tenants.ownerId, userId));
  const told = new Set(host.commands.flatMap((it) => (it.type === "tenant.purge" ? [it.tenantId] : [])));
  for (const { id, purgedAt } of rows) if (purgedAt === null && told.has(id)) await proveGone(edge, host, id);
}

/** Every table that still has a row of this person which should be gone with the account. */
export async function leftOf(edge: TestEdge, { id, email }: { id: string; email: string }): Promise<string[]> {
  const left: string[] = [];
  for (const holding of HOLDINGS) {
    const mine = holding.goes === "at_once" || holding.goes === "soon" ? rowsOf(edge.db, holding, { id, email }) : null;
    if (mine === null) continue;
    if ((await edge.db.select().from(holding.table).where(mine)).length > 0) left.push(getTableName(holding.table));
  }
  return left;
}

export const deletionOf = async (edge: TestEdge, userId: string) =>
  (await edge.db.select().from(accountDeletions).where(eq(accountDeletions.userId, userId)))[0];

export const linesOf = async (edge: TestEdge, userId: string) =>
  (
    await edge.db
      .select()
      .from(audit)
      .where(inArray(audit.subject, [userId]))
  ).map(({ action }) => action);

export const idOf = async (client: Client): Promise<string> =>
  (await client.json<{ id: string }>("GET", "/api/v1/me")).body.id;
