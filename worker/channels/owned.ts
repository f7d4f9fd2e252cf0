import { and, eq } from "drizzle-orm";
import { channels, tenants } from "../../schema/db/index.ts";
import { channelName } from "../../schema/protocol/index.ts";
import type { Person } from "../accounts/types.ts";
import { atomically, retryingGuards, type Statement } from "../db.ts";
import { good, type Result, refuse } from "../problem.ts";
import type { Background } from "../tenants/types.ts";
import { changeAlong, type TenantRow } from "./change.ts";
import type { ChannelsContext } from "./context.ts";
import { isTold } from "./rules.ts";
import type { ChannelRow } from "./store.ts";

export interface Found {
  tenant: TenantRow;
  channel: ChannelRow;
}

/** An agent of this person that is there; whatever else: there is no such thing. */
export async function ownedTenant({ db }: ChannelsContext, person: Person, id: string): Promise<Result<TenantRow>> {
  const [row] = await db
    .select()
    .from(tenants)
    .where(and(eq(tenants.id, id), eq(tenants.ownerId, person.id)));
  if (!row || row.purgedAt !== null) return refuse("not_found");
  return row.desired === "deleted" ? refuse("tenant_deleting") : good(row);
}

export async function ownedChannel(
  context: ChannelsContext,
  person: Person,
  id: string,
  kind: string,
): Promise<Result<Found>> {
  const tenant = await ownedTenant(context, person, id);
  if (!tenant.ok) return tenant;
  const name = channelName.safeParse(kind).data;
  const [channel] = name
    ? await context.db
        .select()
        .from(channels)
        .where(and(eq(channels.tenantId, id), eq(channels.kind, name)))
    : [];
  return channel ? good({ tenant: tenant.value, channel }) : refuse("not_found");
}

/** Commits a change of a channel, with the agent's new generation where it is told of it, and brings that to its host. */
export function changeChannel(
  context: ChannelsContext,
  it: { person: Person; id: string; kind: string; later: Background; step: string; detail?: object },
  plan: (found: Found) => Promise<Result<Statement[]>>,
): Promise<Result<null>> {
  return retryingGuards(async () => {
    const one = await ownedChannel(context, it.person, it.id, it.kind);
    if (!one.ok) return one;
    const planned = await plan(one.value);
    if (!planned.ok) return planned;
    if (planned.value.length === 0) return good(null);
    const { tenant, channel } = one.value;
    const { step, detail = {} } = it;
    const along = changeAlong(context, tenant, channel.kind, { actor: it.person.id, step, detail });
    if (!along) return refuse("tenant_deleting");
    await atomically(context.db, [...along, ...planned.value]);
    if (isTold(tenant.runtime, channel.kind)) it.later(context.hosts.deliver(it.id));
    return good(null);
  });
}
