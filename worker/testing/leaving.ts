import { eq, getTableName, inArray } from "drizzle-orm";
import { accountDeletions, audit, channels } from "../../schema/db/index.ts";
import { importSigningKey, keyId, type Report, signStatement } from "../../schema/protocol/index.ts";
import { HOLDINGS, rowsOf } from "../data/holdings.ts";
import type { Client, TestEdge } from "./edge.ts";
import type { TestHost } from "./host.ts";

type Db = TestEdge["db"];

/** A host's signed word that nothing is left of an agent; `lie`: what of it is not so. */
export async function testimony(
  host: TestHost,
  { tenantId, generation }: { tenantId: string; generation: number },
  lie: { key?: TestHost["signing"]; iss?: string; sub?: string } = {},
) {
  const { key = host.signing, iss = host.enrolment.hostId, sub = tenantId } = lie;
  const steps = [{ step: "remove_volume", at: Date.now(), checked: "no subvolume of it" }];
  const words = { iss, sub, iat: Math.floor(Date.now() / 1_000), generation, steps, remains: [] };
  const signer = { kid: await keyId(key), privateKey: await importSigningKey(key) };
  const statement = await signStatement("host", words, signer);
  return { type: "tenant.receipt", tenantId, generation, statement } as const;
}

/** The two words with which every deletion ends on its host. */
export async function lastWords(host: TestHost, about: { tenantId: string; generation: number }) {
  return [await testimony(host, about), { type: "tenant.state", ...about, state: "purged" }] as const;
}

/** The host says, signed, that nothing is left of an agent, as of its second generation unless it is said otherwise. */
export async function proveGone(edge: TestEdge, host: TestHost, tenantId: string, generation = 2): Promise<void> {
  await host.post(edge, await host.report(...(await lastWords(host, { tenantId, generation }))));
}

/** What a host and its object storage have of agents, and how both lose it as they are told. */
export class Keeper {
  readonly volumes = new Set<string>();
  readonly copies = new Set<string>();
  isStoreDown = false;
  readonly #host: TestHost;
  #heard = 0;
  readonly #leaving = new Map<string, number>();
  #unsaid: Report[] = [];

  constructor(host: TestHost) {
    this.#host = host;
  }

  keep(id: string): void {
    this.volumes.add(id);
    this.copies.add(id);
  }

  has(id: string): boolean {
    return this.volumes.has(id) || this.copies.has(id);
  }

  /** A purge goes as far as it can, and is told when nothing is left, until the edge has heard it. */
  async work(edge: TestEdge): Promise<void> {
    const host = this.#host;
    const news = host.commands.slice(this.#heard);
    this.#heard = host.commands.length;
    for (const it of news) if (it.type === "tenant.purge") this.#leaving.set(it.tenantId, it.generation);
    if (host.down) return;
    for (const [tenantId, generation] of this.#leaving) {
      this.volumes.delete(tenantId);
      if (this.isStoreDown) continue;
      this.copies.delete(tenantId);
      this.#leaving.delete(tenantId);
      this.#unsaid.push(...host.number(...(await lastWords(host, { tenantId, generation }))));
    }
    if (this.#unsaid.length === 0) return;
    const answer = await host.post(edge, await host.sign(this.#unsaid)).catch(() => null);
    if (answer?.ok) this.#unsaid = [];
  }
}

/** Every table that still has a row of this person which should be gone with the account. */
export async function leftOf(db: Db, { id, email }: { id: string; email: string }): Promise<string[]> {
  const left: string[] = [];
  for (const holding of HOLDINGS) {
    const mine = holding.goes === "at_once" || holding.goes === "soon" ? rowsOf(db, holding, { id, email }) : null;
    if (mine === null) continue;
    if ((await db.select().from(holding.table).where(mine)).length > 0) left.push(getTableName(holding.table));
  }
  return left;
}

/** The same of one agent, a few minutes after its deletion. */
export async function leftOfAgent(db: Db, id: string): Promise<string[]> {
  const left: string[] = [];
  const its = db.select({ id: channels.id }).from(channels).where(eq(channels.tenantId, id));
  for (const { table, whose, goes } of HOLDINGS) {
    if (goes !== "at_once" && goes !== "soon") continue;
    if (whose.by !== "tenant" && whose.by !== "channel") continue;
    const mine = whose.by === "tenant" ? eq(whose.column, id) : inArray(whose.column, its);
    if ((await db.select().from(table).where(mine)).length > 0) left.push(getTableName(table));
  }
  return left;
}

export const deletionOf = async (db: Db, userId: string) =>
  (await db.select().from(accountDeletions).where(eq(accountDeletions.userId, userId)))[0];

export const linesOf = async (db: Db, subject: string) =>
  (await db.select().from(audit).where(eq(audit.subject, subject))).map(({ action }) => action);

export const idOf = async (client: Client): Promise<string> =>
  (await client.json<{ id: string }>("GET", "/api/v1/me")).body.id;
