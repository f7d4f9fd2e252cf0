import { and, eq } from "drizzle-orm";
import { channels } from "../../schema/db/index.ts";
import { type ChannelName, channelName, HAND_OVER, newId, toBase64url } from "../../schema/protocol/index.ts";
import { Limits } from "../accounts/index.ts";
import type { Person } from "../accounts/types.ts";
import { atomically, isUniqueViolation, retryingGuards } from "../db.ts";
import { good, type Result, refuse } from "../problem.ts";
import { describeRefusal, parseSecret, Secret } from "../vault/rules.ts";
import { createVault, deleteSecret, listSecrets } from "../vault/service.ts";
import { ADAPTERS, type Failure, type Typed } from "./adapters/index.ts";
import { changeAlong } from "./change.ts";
import * as channelStore from "./channel-store.ts";
import type { ChannelsContext } from "./context.ts";
import { channelKeys } from "./keys.ts";
import { changeChannel, ownedChannel, ownedTenant } from "./owned.ts";
import { register } from "./register.ts";
import { isTold, MESSAGE_KEY } from "./rules.ts";
import type { ChannelsService } from "./types.ts";
import { viewOf } from "./view.ts";

/** Each asks a provider with a token that somebody has typed. */
const CONNECTS = { max: 60, windowSeconds: 3_600 };
const ACCOUNT = /^\d{5,20}$/;

/** How a bot comes to an agent, and how it leaves. */
export function connecting(context: ChannelsContext): Pick<ChannelsService, "connect" | "disconnect"> {
  const { db, world, config, hosts } = context;
  const vault = createVault({ db, world, ring: config.vaultKeys });
  const limits = new Limits(db, world);

  /** Of one bot: the same one again has a new token, another one is another channel. Its id. */
  async function commit(
    person: Person,
    tenantId: string,
    it: { kind: ChannelName; token: Secret; proof: string | null; accountId: string; account: string },
  ): Promise<Result<string>> {
    const { kind, accountId, account } = it;
    const adapter = ADAPTERS[kind];
    const tenant = await ownedTenant(context, person, tenantId);
    if (!tenant.ok) return tenant;
    const [existing] = await db
      .select()
      .from(channels)
      .where(and(eq(channels.tenantId, tenantId), eq(channels.kind, kind)));
    const versions = new Map((await listSecrets(db, tenantId)).map((one) => [one.name, one.version]));
    // Another bot gets another address, and another secret of ours: what was sent to the former is not its own.
    const isSame = existing?.accountId === accountId;
    const fresh = () => new Secret(toBase64url(world.random(32)));
    const proof = it.proof === null ? (isSame ? null : fresh()) : new Secret(it.proof);
    const values = [
      { name: adapter.token, secret: it.token },
      ...(proof ? [{ name: adapter.proof.name, secret: proof }] : []),
      ...(versions.has(MESSAGE_KEY) ? [] : [{ name: MESSAGE_KEY, secret: fresh() }]),
    ].map((one) => ({ ...one, version: (versions.get(one.name) ?? 0) + 1 }));
    const at = world.now();
    const sealed = await vault.seal({ tenantId, by: person.id, at, values });
    const detail = { account: accountId };
    const along = changeAlong(context, tenant.value, kind, { actor: person.id, step: "channel.connect", detail });
    if (!sealed || !along) return refuse("tenant_deleting");
    const named = { accountId, account, registerAt: at, registerAttempts: 0, failure: null };
    const id = isSame ? existing.id : newId("chn");
    const others = existing && !isSame ? channelStore.forgetChannels(db, channelStore.ofOneChannel(existing.id)) : [];
    const row = isSame
      ? db.update(channels).set(named).where(channelStore.ofOneChannel(id))
      : db.insert(channels).values({ id, tenantId, kind, createdAt: at, ...named });
    await atomically(db, [...along, ...sealed.statements, ...others, row]);
    return good(id);
  }

  return {
    async connect(person, id, kind, typed, later) {
      const tenant = await ownedTenant(context, person, id);
      if (!tenant.ok) return tenant;
      const name = channelName.safeParse(kind).data;
      if (!name || !HAND_OVER[tenant.value.runtime][name]) {
        return refuse("invalid_body", { field: "kind", detail: "This agent's runtime has no place for that channel." });
      }
      const adapter = ADAPTERS[name];
      const read = readTyped(name, typed);
      if (!read.ok) return read;
      const waitSeconds = await limits.take([[{ key: `channel-connect ${person.id}`, ...CONNECTS }]]);
      if (waitSeconds !== null) return refuse("rate_limited", { retryAfterSeconds: waitSeconds });
      const me = await adapter.identify(context.call(name), read.value);
      if (!me.ok) return refusalOf(me, adapter.label);
      const secret = adapter.asks.includes("secret") ? read.value.secret : null;
      const { accountId, account, proof = secret } = me.result;
      const it = { kind: name, token: new Secret(read.value.token), proof, accountId, account };
      const committed = await retryingGuards(() => commit(person, id, it)).catch((error) => {
        if (!isUniqueViolation(error, "channels.kind")) throw error;
        const detail = "This bot is connected to another agent. Disconnect it there first.";
        return refuse("invalid_secret", { field: "token", detail });
      });
      if (!committed.ok) return committed;
      const before = await ownedChannel(context, person, id, name);
      if (before.ok) await register(context, before.value.channel);
      if (isTold(tenant.value.runtime, name)) later(hosts.deliver(id));
      const after = await ownedChannel(context, person, id, name);
      return after.ok ? good(await viewOf(context, after.value.tenant, after.value.channel)) : after;
    },

    async disconnect(person, id, kind, later) {
      const one = await ownedChannel(context, person, id, kind);
      const keys = one.ok ? await channelKeys(db, config.vaultKeys, one.value.channel) : null;
      const it = { person, id, kind, later, step: "channel.disconnect" };
      const done = await changeChannel(context, it, async ({ channel }) =>
        good([
          ...channelStore.forgetChannels(db, channelStore.ofOneChannel(channel.id)),
          deleteSecret(db, id, ADAPTERS[channel.kind].token),
          deleteSecret(db, id, ADAPTERS[channel.kind].proof.name),
        ]),
      );
      // Whether it hears us or not: what it still sends finds nobody.
      if (done.ok && one.ok && keys?.token) {
        const { kind: name } = one.value.channel;
        later(ADAPTERS[name].unregister(context.call(name), keys.token));
      }
      return done;
    },
  };
}

/** What was typed, as far as it can be seen without asking. A refusal never repeats it. */
function readTyped(kind: ChannelName, typed: Partial<Typed>): Result<Typed> {
  const adapter = ADAPTERS[kind];
  const token = (typed.token ?? "").trim();
  const parsed = parseSecret(adapter.token, token);
  if (!parsed.ok) return refuse("invalid_secret", { field: "token", detail: describeRefusal(parsed.refusal) });
  const secret = (typed.secret ?? "").trim();
  if (adapter.asks.includes("secret") && !adapter.proof.shape.test(secret)) {
    return refuse("invalid_secret", { field: "secret", detail: adapter.proof.hint });
  }
  const account = (typed.account ?? "").trim();
  if (adapter.asks.includes("account") && !ACCOUNT.test(account)) {
    return refuse("invalid_body", { field: "account", detail: "The phone number's id has digits only." });
  }
  return good({ token, secret, account });
}

function refusalOf(failure: Failure, label: string) {
  switch (failure.why) {
    case "wrong_token":
      return refuse("invalid_secret", { field: "token", detail: `${label} does not know this token.` });
    case "busy":
      return refuse("rate_limited", { retryAfterSeconds: failure.retryAfterSeconds });
    case "refused":
      return refuse("invalid_secret", { field: "token", detail: `${label} does not take this token for a bot's.` });
    case "unreachable":
      return refuse("channel_unavailable");
  }
}
