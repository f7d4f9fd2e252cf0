import { refuseSlug } from "../../schema/protocol/index.ts";
import type { Refusal } from "../accounts/refusals.ts";
import type { BillingView } from "../billing/types.ts";
import type { ChannelView } from "../channels/types.ts";
import type { ReceiptLine, StorageView } from "../data/index.ts";
import { good, refuse } from "../problem.ts";
import type { CommandsView, PostureView, Sample } from "../tenants/types.ts";
import type { Acted, PageDeps, Person, Security, TenantEvent, TenantView } from "./deps.ts";

/** The pages' port kept in memory, for tests of the pages alone: whoever sends the cookie `as=ID` is that person. */
export interface InMemory {
  deps: PageDeps;
  people: Map<string, Person>;
  agents: Map<string, TenantView & { ownerId: string }>;
  events: Map<string, TenantEvent[]>;
  /** By agent; absent: its server has not attacked its walls yet. */
  postures: Map<string, PostureView>;
  /** By agent, oldest first. */
  samples: Map<string, Sample[]>;
  storages: Map<string, StorageView>;
  ledgers: Map<string, CommandsView>;
  receipts: (ReceiptLine & { ownerId: string })[];
  channels: Map<string, ChannelView[]>;
  /** What `create` was given, in order. */
  created: unknown[];
  acted: { id: string; action: string }[];
  /** What the rooms of accounts were asked to do. */
  acts: { path: string; body: object }[];
  security: Security;
}

export const PERSON: Person = { id: "usr_1", email: "ada@example.org", name: "Ada", role: "person", sessionId: "s1" };

export const BOT_TOKEN = "123456789:AAF-abcdefghijklmnopqrstuvwxyz01234";
export const CHANNEL: ChannelView = {
  ...{
    kind: "telegram",
    account: "@ada_bot",
    state: "connected",
    failure: null,
    people: [],
    pairingUntil: null,
    setup: null,
  },
  ...{ today: {}, waiting: 0, perDay: 1000, stopped: [], refusals: [] },
};

export const BILLING: BillingView = {
  payments: "off",
  stage: "unbilled",
  plan: "pro",
  agents: { used: 0, allowed: null },
  trialEndsAt: null,
  trialDaysLeft: null,
  until: null,
  subscription: null,
};

export function agentView(change: Partial<TenantView> = {}): TenantView {
  const name = change.name ?? "ada-helper";
  return {
    id: "tnt_aaaaaaaaaaaaaaaaaaaaaaaaaa",
    name,
    runtime: "openclaw",
    plan: "trial",
    held: false,
    hostname: `${name}.agents.localhost`,
    url: `http://${name}.agents.localhost:8080/`,
    desired: "running",
    state: "running",
    generation: 1,
    observedGeneration: 1,
    failure: null,
    limits: {
      memoryMiB: 2048,
      cpuMillis: 2000,
      pids: 256,
      diskMiB: 4096,
      requestsPerMinute: 600,
      openConnections: 64,
      egressMiBPerDay: 5_120,
    },
    status: null,
    storage: null,
    undoUntil: null,
    runs: null,
    image: null,
    createdAt: "2026-11-22T09:02:11.123Z",
    updatedAt: "2026-11-22T09:02:11.123Z",
    ...change,
  };
}

export function inMemory(): InMemory {
  const people = new Map([[PERSON.id, PERSON]]);
  const agents: InMemory["agents"] = new Map();
  const events: InMemory["events"] = new Map();
  const postures: InMemory["postures"] = new Map();
  const samples: InMemory["samples"] = new Map();
  const storages: InMemory["storages"] = new Map();
  const ledgers: InMemory["ledgers"] = new Map();
  const receipts: InMemory["receipts"] = [];
  const channels: InMemory["channels"] = new Map();
  const created: unknown[] = [];
  const acted: InMemory["acted"] = [];
  const acts: InMemory["acts"] = [];
  const security: Security = { sessions: [], passkeys: [], keys: [], hasPassword: true, twoFactor: false };
  const session = (id: string) => new Headers({ "set-cookie": `as=${id}; HttpOnly; Path=/` });
  const own = (person: Person, id: string) => {
    const view = agents.get(id);
    return view?.ownerId === person.id ? good<TenantView>(view) : refuse("not_found");
  };

  const nameFor = (name: string) => {
    const wrong = refuseSlug(name);
    if (wrong) return refuse(wrong.reason === "reserved" ? "name_reserved" : "invalid_name");
    return [...agents.values()].some((view) => view.name === name) ? refuse("name_taken") : good(null);
  };

  const deps: PageDeps = {
    person: async (c) => people.get(/(?:^|; )as=([^;]+)/.exec(c.req.header("cookie") ?? "")?.[1] ?? "") ?? null,
    accounts: {
      // better-auth in a few words: one person, one password, one code.
      act: async (_c, path, body) => {
        const { email, password, code } = body as Record<string, string | undefined>;
        const none = new Headers();
        const refused = (refusal: Refusal): Acted => ({ ok: false, headers: none, refusal });
        acts.push({ path, body });
        switch (path) {
          case "/sign-up/email":
            return (password ?? "").length < 10
              ? refused({ code: "PASSWORD_TOO_SHORT", field: "password", message: "Use at least 10 characters." })
              : { ok: true, headers: none, body: {} };
          case "/sign-in/email":
            if (email !== PERSON.email)
              return refused({ code: "INVALID_EMAIL_OR_PASSWORD", message: "This is wrong." });
            return password === "asks for a code"
              ? { ok: true, headers: none, body: { twoFactorRedirect: true } }
              : { ok: true, headers: session(PERSON.id), body: {} };
          case "/two-factor/verify-totp":
            return code === "123456"
              ? { ok: true, headers: session(PERSON.id), body: {} }
              : refused({ code: "INVALID_CODE", field: "code", message: "This code is wrong." });
          case "/sign-out":
            return { ok: true, headers: new Headers({ "set-cookie": "as=; Max-Age=0; Path=/" }), body: {} };
          default:
            return { ok: true, headers: none, body: {} };
        }
      },
      security: async () => security,
      confirmAgain: async (_person, password) =>
        password === "right password"
          ? good(null)
          : refuse("sign_in_again", { field: "password", detail: "The password is not right." }),
      endSessions: async (_person, which) => void acts.push({ path: "end", body: { which } }),
      createKey: async (_person, input) => {
        acts.push({ path: "key", body: input });
        const at = "2026-11-22T09:02:11.123Z";
        return good({ id: "k2", hint: "chk_abcdef", createdAt: at, expiresAt: at, key: "chk_shown-once", ...input });
      },
      dropKey: async (_person, id) => void acts.push({ path: "drop", body: { id } }),
    },
    social: [],
    mailbox: null,
    ownHost: "localhost:8787",
    // Of nobody: the Keys page is tested on a whole edge.
    keys: {
      service: {
        secrets: async () => good([]),
        secret: async () => refuse("not_found"),
        putSecret: async () => refuse("not_found"),
        removeSecret: async () => good(null),
      },
      checks: { check: async () => good({ verdict: "accepted" as const, words: "Its provider accepts this key." }) },
    },
    data: {
      storage: async (person, id) => {
        const view = own(person, id);
        return view.ok ? good(storages.get(id) ?? null) : view;
      },
      backup: async (person, id) => {
        const view = own(person, id);
        if (view.ok) acted.push({ id, action: "backup" });
        return view.ok ? good(null) : view;
      },
      restore: async (person, id, from) => {
        const view = own(person, id);
        if (!view.ok) return view;
        if (!storages.get(id)?.snapshots.includes(from)) return refuse("no_such_copy", { field: "from" });
        acted.push({ id, action: `restore ${from}` });
        return good(null);
      },
    },
    channels: {
      list: async (person, id) => {
        const view = own(person, id);
        return view.ok ? good(channels.get(id) ?? []) : view;
      },
      connect: async (person, id, _kind, { token }) => {
        const view = own(person, id);
        if (!view.ok) return view;
        if (token !== BOT_TOKEN)
          return refuse("invalid_secret", { field: "token", detail: "Telegram does not know it." });
        channels.set(id, [CHANNEL]);
        return good(CHANNEL);
      },
      openPairing: async (person, id) => {
        const view = own(person, id);
        return view.ok ? good({ code: "ABCD-EFGH", until: "2026-11-22T09:12:00Z" }) : view;
      },
      disconnect: async () => good(null),
      allow: async () => good(null),
      disallow: async () => good(null),
      resume: async () => good(null),
    },
    leave: async (person) => void acts.push({ path: "leave", body: { id: person.id } }),
    receipts: async (person) => receipts.filter(({ ownerId }) => ownerId === person.id),
    tenants: {
      regions: async () => ["local"],
      nameFor: async (_person, name) => nameFor(name),
      list: async (person) => [...agents.values()].filter(({ ownerId }) => ownerId === person.id),
      read: async (person, id) => own(person, id),
      create: async (person, input) => {
        created.push(input);
        const { name } = input as { name: string };
        const free = nameFor(name);
        if (!free.ok) return free;
        const view = agentView({ name, state: "pending" });
        agents.set(view.id, { ...view, ownerId: person.id });
        return good(view);
      },
      upgrade: async (person, id) => {
        const view = own(person, id);
        if (view.ok) acted.push({ id, action: "upgrade" });
        return view;
      },
      act: async (person, id, action) => {
        const view = own(person, id);
        if (!view.ok) return view;
        if (view.value.state === "deleting" && view.value.undoUntil === null) return refuse("tenant_deleting");
        acted.push({ id, action });
        return view;
      },
      events: async (person, id, after) => {
        const view = own(person, id);
        return view.ok ? good((events.get(id) ?? []).filter((event) => event.id > after).slice(0, 500)) : view;
      },
      recent: async (person, id) => {
        const view = own(person, id);
        return view.ok ? good((events.get(id) ?? []).slice(-500)) : view;
      },
      samples: async (person, id) => {
        const view = own(person, id);
        return view.ok ? good(samples.get(id) ?? []) : view;
      },
      commands: async (person, id) => {
        const view = own(person, id);
        return view.ok ? good(ledgers.get(id) ?? { commands: [], intact: true, brokenAt: null }) : view;
      },
      posture: async (person, id) => {
        const view = own(person, id);
        return view.ok ? good(postures.get(id) ?? null) : view;
      },
    },
    billing: {
      read: async () => BILLING,
      refresh: async () => good(BILLING),
      checkout: async () => refuse("not_found"),
      changePlan: async () => refuse("not_found"),
      cancel: async () => refuse("not_found"),
      portal: async () => refuse("not_found"),
      papers: async () => good({ bills: [], taxIds: [] }),
      addTaxId: async () => refuse("not_found"),
    },
    background: () => () => {},
    tenantDomain: ".agents.localhost",
    tenantOrigin: "http://*.agents.localhost:8080",
  };
  return {
    deps,
    people,
    agents,
    events,
    postures,
    samples,
    storages,
    ledgers,
    receipts,
    channels,
    created,
    acted,
    acts,
    security,
  };
}
