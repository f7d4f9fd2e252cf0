import { and, count, desc, eq, isNotNull } from "drizzle-orm";
import {
  channelConversations,
  channelCounts,
  channelMessages,
  channelPeople,
  channelRefusals,
  channels,
  tenants,
} from "../../schema/db/index.ts";
import { channelName, HAND_OVER, newId, toBase64url } from "../../schema/protocol/index.ts";
import { Limits } from "../accounts/index.ts";
import type { Person } from "../accounts/types.ts";
import { atomically, isUniqueViolation, retryingGuards, type Statement } from "../db.ts";
import { good, type Result, refuse } from "../problem.ts";
import { messagesPerDayOf } from "../tenants/index.ts";
import type { Background } from "../tenants/types.ts";
import { describeRefusal, parseSecret, Secret } from "../vault/rules.ts";
import { createVault, deleteSecret, listSecrets } from "../vault/service.ts";
import { ADAPTERS } from "./adapters/index.ts";
import type { BotFailure } from "./bot-api.ts";
import { changeAlong, type TenantRow } from "./change.ts";
import * as channelStore from "./channel-store.ts";
import type { ChannelsContext } from "./context.ts";
import { channelKeys, TOKEN_NAME } from "./keys.ts";
import { openPairing } from "./pairing.ts";
import { register } from "./register.ts";
import { codeFrom, dayOf, MAX_PEOPLE, MESSAGE_KEY, PAIRING, SENDER_SHAPE } from "./rules.ts";
import type * as store from "./store.ts";
import type { ChannelsService, ChannelView } from "./types.ts";

/** Each asks a provider with a token that somebody has typed. */
const CONNECTS = { max: 60, windowSeconds: 3_600 };

export function createChannelsService(context: ChannelsContext): ChannelsService {
  const { db, world, bot, config, hosts } = context;
  const vault = createVault({ db, world, ring: config.vaultKeys });
  const limits = new Limits(db, world);

  async function owned(person: Person, id: string): Promise<Result<TenantRow>> {
    const [row] = await db
      .select()
      .from(tenants)
      .where(and(eq(tenants.id, id), eq(tenants.ownerId, person.id)));
    if (!row || row.purgedAt !== null) return refuse("not_found");
    return row.desired === "deleted" ? refuse("tenant_deleting") : good(row);
  }

  async function found(person: Person, id: string, kind: string) {
    const tenant = await owned(person, id);
    if (!tenant.ok) return tenant;
    const name = channelName.safeParse(kind).data;
    const [channel] = name
      ? await db
          .select()
          .from(channels)
          .where(and(eq(channels.tenantId, id), eq(channels.kind, name)))
      : [];
    return channel ? good({ tenant: tenant.value, channel }) : refuse("not_found");
  }
  type Found = { tenant: TenantRow; channel: store.ChannelRow };

  /** Commits a change of a channel with the agent's new generation, and brings it to its host. */
  function change(
    it: { person: Person; id: string; kind: string; later: Background; step: string; detail?: object },
    plan: (found: Found) => Promise<Result<Statement[]>>,
  ): Promise<Result<null>> {
    return retryingGuards(async () => {
      const one = await found(it.person, it.id, it.kind);
      if (!one.ok) return one;
      const planned = await plan(one.value);
      if (!planned.ok) return planned;
      if (planned.value.length === 0) return good(null);
      const detail = { channel: it.kind, ...it.detail };
      const along = changeAlong(context, one.value.tenant, { actor: it.person.id, step: it.step, detail });
      if (!along) return refuse("tenant_deleting");
      await atomically(db, [...along, ...planned.value]);
      it.later(hosts.deliver(it.id));
      return good(null);
    });
  }

  async function view(tenant: TenantRow, channel: store.ChannelRow): Promise<ChannelView> {
    const of = channel.id;
    const [people, counts, waiting, stopped, refusals] = await db.batch([
      db.select().from(channelPeople).where(eq(channelPeople.channelId, of)).orderBy(channelPeople.addedAt),
      db
        .select()
        .from(channelCounts)
        .where(and(eq(channelCounts.channelId, of), eq(channelCounts.day, dayOf(world.now())))),
      db
        .select({ n: count() })
        .from(channelMessages)
        .where(and(eq(channelMessages.channelId, of), eq(channelMessages.state, "waiting"))),
      db
        .select()
        .from(channelConversations)
        .where(and(eq(channelConversations.channelId, of), isNotNull(channelConversations.stoppedAt))),
      db
        .select()
        .from(channelRefusals)
        .where(eq(channelRefusals.channelId, of))
        .orderBy(desc(channelRefusals.id))
        .limit(10),
    ]);
    const iso = (ms: number) => new Date(ms).toISOString();
    const isOpen = channel.pairingHash !== null && (channel.pairingExpiresAt ?? 0) > world.now();
    return {
      kind: channel.kind,
      account: channel.account,
      state: channel.failure !== null ? "failed" : channel.registeredAt === null ? "connecting" : "connected",
      failure: channel.failure,
      people: people.map(({ senderId, addedAt }) => ({ id: senderId, addedAt: iso(addedAt) })),
      pairingUntil: isOpen ? iso(channel.pairingExpiresAt ?? 0) : null,
      // What the owner was told stands beside the counts, and is none.
      today: Object.fromEntries(counts.filter(({ what }) => !what.startsWith("told_")).map(({ what, n }) => [what, n])),
      waiting: waiting[0]?.n ?? 0,
      perDay: messagesPerDayOf(tenant.plan),
      stopped: stopped.map(({ conversation, stoppedAt, stoppedWhy }) => ({
        ...{ conversation, at: iso(stoppedAt ?? 0), why: stoppedWhy ?? "" },
      })),
      refusals: refusals.map(({ at, why, senderId }) => ({ at: iso(at), why, senderId })),
    };
  }

  return {
    async list(person, id) {
      const tenant = await owned(person, id);
      if (!tenant.ok) return tenant;
      const rows = await db.select().from(channels).where(eq(channels.tenantId, id)).orderBy(channels.createdAt);
      return good(await Promise.all(rows.map((row) => view(tenant.value, row))));
    },

    async connect(person, id, kind, token, later) {
      const tenant = await owned(person, id);
      if (!tenant.ok) return tenant;
      const name = channelName.safeParse(kind).data;
      if (name !== "telegram" || !HAND_OVER[tenant.value.runtime][name]) {
        return refuse("invalid_body", {
          field: "kind",
          detail: "This agent's runtime has no place for that channel yet.",
        });
      }
      const parsed = parseSecret(TOKEN_NAME[name], token.trim());
      if (!parsed.ok) return refuse("invalid_secret", { field: "token", detail: describeRefusal(parsed.refusal) });
      const waitSeconds = await limits.take([[{ key: `channel-connect ${person.id}`, ...CONNECTS }]]);
      if (waitSeconds !== null) return refuse("rate_limited", { retryAfterSeconds: waitSeconds });
      const me = await bot.me(parsed.secret.reveal());
      if (!me.ok) return refusalOf(me);
      const account = { accountId: String(me.result.id), account: `@${me.result.username}` };

      const channelId = await retryingGuards(async (): Promise<Result<string>> => {
        const now = await owned(person, id);
        if (!now.ok) return now;
        const [existing] = await db
          .select()
          .from(channels)
          .where(and(eq(channels.tenantId, id), eq(channels.kind, name)));
        const versions = new Map((await listSecrets(db, id)).map((one) => [one.name, one.version]));
        // Another bot gets another address and another secret: what was sent to the former is not its own.
        const isSame = existing?.accountId === account.accountId;
        const fresh = () => new Secret(toBase64url(world.random(32)));
        const values = [
          { name: TOKEN_NAME[name], secret: parsed.secret },
          ...(isSame ? [] : [{ name: ADAPTERS[name].proof.name, secret: fresh() }]),
          ...(versions.has(MESSAGE_KEY) ? [] : [{ name: MESSAGE_KEY, secret: fresh() }]),
        ].map((one) => ({ ...one, version: (versions.get(one.name) ?? 0) + 1 }));
        const at = world.now();
        const sealed = await vault.seal({ tenantId: id, by: person.id, at, values });
        const detail = { channel: name, account: account.accountId };
        const along = changeAlong(context, now.value, { actor: person.id, step: "channel.connect", detail });
        if (!sealed || !along) return refuse("tenant_deleting");
        const due = { registerAt: at, registerAttempts: 0, failure: null };
        const row = { id: isSame && existing ? existing.id : newId("chn"), tenantId: id, kind: name, createdAt: at };
        await atomically(db, [
          ...along,
          ...sealed.statements,
          ...(isSame
            ? [
                db
                  .update(channels)
                  .set({ ...account, ...due })
                  .where(channelStore.ofOneChannel(row.id)),
              ]
            : [
                ...(existing ? channelStore.forgetChannels(db, channelStore.ofOneChannel(existing.id)) : []),
                db.insert(channels).values({ ...row, ...account, ...due }),
              ]),
        ]);
        return good(row.id);
      }).catch((error) => {
        if (!isUniqueViolation(error, "channels.kind")) throw error;
        const detail = "This bot is connected to another agent. Disconnect it there first.";
        return refuse("invalid_secret", { field: "token", detail });
      });
      if (!channelId.ok) return channelId;
      const read = async () => (await found(person, id, name)) as Result<Found>;
      const before = await read();
      if (before.ok) await register(context, before.value.channel);
      later(hosts.deliver(id));
      const after = await read();
      return after.ok ? good(await view(after.value.tenant, after.value.channel)) : after;
    },

    async disconnect(person, id, kind, later) {
      const keys = await found(person, id, kind).then((one) =>
        one.ok ? channelKeys(db, config.vaultKeys, one.value.channel) : null,
      );
      const done = await change({ person, id, kind, later, step: "channel.disconnect" }, async ({ channel }) =>
        good([
          ...channelStore.forgetChannels(db, channelStore.ofOneChannel(channel.id)),
          deleteSecret(db, id, TOKEN_NAME[channel.kind]),
          deleteSecret(db, id, ADAPTERS[channel.kind].proof.name),
        ]),
      );
      // Whether it hears us or not: what it still sends finds nobody.
      if (done.ok && keys?.token) later(bot.deleteWebhook(keys.token));
      return done;
    },

    async openPairing(person, id, kind) {
      const one = await found(person, id, kind);
      if (!one.ok) return one;
      const code = codeFrom(world.random(8));
      const until = world.now() + PAIRING.minutes * 60_000;
      await db.update(channels).set(openPairing(code, until)).where(channelStore.ofOneChannel(one.value.channel.id));
      return good({ code, until: new Date(until).toISOString() });
    },

    allow: (person, id, kind, senderId, later) =>
      change({ person, id, kind, later, step: "channel.allow", detail: { person: senderId } }, async ({ channel }) => {
        if (!SENDER_SHAPE[channel.kind].test(senderId)) {
          return refuse("invalid_body", {
            field: "person",
            detail: "People are named by their number, never by a name.",
          });
        }
        const known = await db.select().from(channelPeople).where(eq(channelPeople.channelId, channel.id));
        if (known.some((one) => one.senderId === senderId)) return good([]);
        if (known.length >= MAX_PEOPLE) {
          return refuse("invalid_body", { field: "person", detail: `At most ${MAX_PEOPLE} people are heard.` });
        }
        return good([db.insert(channelPeople).values({ channelId: channel.id, senderId, addedAt: world.now() })]);
      }),

    disallow: (person, id, kind, senderId, later) =>
      change(
        { person, id, kind, later, step: "channel.disallow", detail: { person: senderId } },
        async ({ channel }) => {
          const isIt = and(eq(channelPeople.channelId, channel.id), eq(channelPeople.senderId, senderId));
          if ((await db.select().from(channelPeople).where(isIt)).length === 0) return good([]);
          return good([db.delete(channelPeople).where(isIt)]);
        },
      ),

    async resume(person, id, kind, conversation) {
      const one = await found(person, id, kind);
      if (!one.ok) return one;
      await db
        .update(channelConversations)
        .set({ stoppedAt: null, stoppedWhy: null, resumedAt: world.now() })
        .where(
          and(
            eq(channelConversations.channelId, one.value.channel.id),
            eq(channelConversations.conversation, conversation),
          ),
        );
      return good(null);
    },
  };
}

function refusalOf(failure: BotFailure) {
  switch (failure.why) {
    case "wrong_token":
      return refuse("invalid_secret", { field: "token", detail: "Telegram does not know this token." });
    case "busy":
      return refuse("rate_limited", { retryAfterSeconds: failure.retryAfterSeconds });
    case "refused":
      return refuse("invalid_secret", { field: "token", detail: "Telegram does not take this token for a bot's." });
    case "unreachable":
      return refuse("channel_unavailable");
  }
}
