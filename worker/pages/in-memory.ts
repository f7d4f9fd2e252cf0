import { refuseSlug } from "../../schema/protocol/index.ts";
import { good, refuse } from "../problem.ts";
import type { PageDeps, Person, TenantEvent, TenantView } from "./deps.ts";

/** The pages' port kept in memory, for tests of the pages alone: whoever sends the cookie `as=ID` is that person. */
export interface InMemory {
  deps: PageDeps;
  people: Map<string, Person>;
  agents: Map<string, TenantView & { ownerId: string }>;
  events: Map<string, TenantEvent[]>;
  /** What `create` was given, in order. */
  created: unknown[];
  acted: { id: string; action: string }[];
}

export const PERSON: Person = { id: "usr_1", email: "ada@example.org", name: "Ada", sessionId: "s1" };

export function agentView(change: Partial<TenantView> = {}): TenantView {
  const name = change.name ?? "ada-helper";
  return {
    id: "tnt_aaaaaaaaaaaaaaaaaaaaaaaaaa",
    name,
    runtime: "openclaw",
    plan: "trial",
    hostname: `${name}.agents.localhost`,
    url: `http://${name}.agents.localhost:8080/`,
    desired: "running",
    state: "running",
    generation: 1,
    observedGeneration: 1,
    failure: null,
    limits: { memoryMiB: 2048, cpuMillis: 2000, pids: 256, diskMiB: 4096, requestsPerMinute: 600 },
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
  const created: unknown[] = [];
  const acted: InMemory["acted"] = [];
  const session = (id: string) => new Headers({ "set-cookie": `as=${id}; HttpOnly; Path=/` });
  const own = (person: Person, id: string) => {
    const view = agents.get(id);
    return view?.ownerId === person.id ? good<TenantView>(view) : refuse("not_found");
  };

  const deps: PageDeps = {
    person: async (c) => people.get(/(?:^|; )as=([^;]+)/.exec(c.req.header("cookie") ?? "")?.[1] ?? "") ?? null,
    accounts: {
      signUp: async (_c, { email, password }) => {
        if (password.length < 10) return { ok: false, field: "password", message: "Use at least 10 characters." };
        if (email === PERSON.email) return { ok: false, message: "This did not work." };
        return { ok: true, headers: session(PERSON.id) };
      },
      signIn: async (_c, { email }) =>
        email === PERSON.email
          ? { ok: true, headers: session(PERSON.id) }
          : { ok: false, message: "E-mail address or password is wrong." },
      signOut: async () => new Headers({ "set-cookie": "as=; Max-Age=0; Path=/" }),
    },
    tenants: {
      list: async (person) => [...agents.values()].filter(({ ownerId }) => ownerId === person.id),
      read: async (person, id) => own(person, id),
      create: async (person, input) => {
        created.push(input);
        const { name } = input as { name: string };
        const wrong = refuseSlug(name);
        if (wrong) return refuse(wrong.reason === "reserved" ? "name_reserved" : "invalid_name");
        if ([...agents.values()].some((view) => view.name === name)) return refuse("name_taken");
        const view = agentView({ name, state: "pending" });
        agents.set(view.id, { ...view, ownerId: person.id });
        return good(view);
      },
      act: async (person, id, action) => {
        const view = own(person, id);
        if (!view.ok) return view;
        if (view.value.state === "deleting") return refuse("tenant_deleting");
        acted.push({ id, action });
        return view;
      },
      events: async (person, id, after) => {
        const view = own(person, id);
        return view.ok ? good((events.get(id) ?? []).filter((event) => event.id > after).slice(0, 500)) : view;
      },
    },
    background: () => () => {},
    tenantDomain: ".agents.localhost",
    tenantOrigin: "http://*.agents.localhost:8080",
  };
  return { deps, people, agents, events, created, acted };
}
