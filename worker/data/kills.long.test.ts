import { eq } from "drizzle-orm";
import { beforeAll, describe, expect, inject, it } from "vitest";
import { channels, deletionReceipts, tenants } from "../../schema/db/index.ts";
import { Client, randomText } from "../testing/edge.ts";
import { TestHost } from "../testing/host.ts";
import { deletionOf, idOf, Keeper, leftOf, leftOfAgent, linesOf } from "../testing/leaving.ts";
import { killedAfter, type MortalEdge, startMortalEdge } from "../testing/mortal.ts";

declare module "vitest" {
  interface ProvidedContext {
    everyKill: boolean;
  }
}

/** How long the host, or its object storage, is away: it comes back while the edge goes on dying. */
const AWAY_TURNS = 1;
/** `npm run kills` tries every word, for some five minutes; `npm test` a sample. */
const TRIES_ALL = inject("everyKill");
const LONG_MS = 3_600_000;

let host: TestHost;
let keeper: Keeper;
let mortal: MortalEdge;
let owner: Client;
beforeAll(async () => {
  host = await TestHost.make();
  mortal = await startMortalEdge(host);
  host.now = mortal.edge.world.now;
  keeper = new Keeper(host);
  expect((await host.enrol(mortal.edge)).ok).toBe(true);
  owner = await new Client(mortal.edge).signUp();
});

const FAULTS = {
  "nothing else": () => {},
  "the host down": (isAway: boolean) => {
    host.down = isAway;
  },
  "object storage down": (isAway: boolean) => {
    keeper.isStoreDown = isAway;
  },
} as const;
type Fault = (typeof FAULTS)[keyof typeof FAULTS];

/** An agent with something in every place that its deletion must empty. */
async function furnished(person: Client): Promise<string> {
  const secrets = { ANTHROPIC_API_KEY: `sk-ant-${randomText()}${randomText()}` };
  const { status, body } = await person.create(undefined, { secrets });
  expect(status).toBe(201);
  const channel = { id: randomText(), tenantId: body.id, kind: "telegram" as const, accountId: randomText() };
  await mortal.db.insert(channels).values({ ...channel, account: "my_bot", createdAt: 1 });
  keeper.keep(body.id);
  return body.id;
}

const meanwhile = (fault: Fault) => async (turn: number) => {
  fault(turn < AWAY_TURNS);
  await keeper.work(mortal.edge);
};

async function agentLeaves(nth: number, fault: Fault): Promise<boolean> {
  const { edge, db } = mortal;
  const id = await furnished(owner);
  const row = async () => (await db.select().from(tenants).where(eq(tenants.id, id)))[0];
  fault(true);
  const isThrough = await killedAfter(nth, mortal, {
    ask: () => owner.request("DELETE", `/api/v1/tenants/${id}`),
    meanwhile: meanwhile(fault),
    isOver: async () => (await row())?.purgedAt != null,
  });
  const killed = `killed after ${nth}`;
  expect((await row())?.purgedAt, killed).not.toBeNull();
  expect(keeper.has(id), killed).toBe(false);
  edge.world.forward(11 * 60_000);
  await edge.tick();
  expect(await leftOfAgent(db, id), killed).toEqual([]);
  expect(await db.select().from(deletionReceipts).where(eq(deletionReceipts.tenantId, id)), killed).toHaveLength(1);
  expect((await linesOf(db, id)).filter((line) => line === "tenant.delete")).toHaveLength(1);
  return isThrough;
}

async function accountLeaves(nth: number, fault: Fault): Promise<boolean> {
  const { edge, db } = mortal;
  const person = await new Client(edge).signUp();
  const id = await idOf(person);
  const agents = [await furnished(person), await furnished(person)];
  fault(true);
  const isThrough = await killedAfter(nth, mortal, {
    ask: async () =>
      (await deletionOf(db, id)) ?? person.request("DELETE", "/api/v1/account", { password: person.password }),
    meanwhile: meanwhile(fault),
    isOver: async () => (await deletionOf(db, id))?.doneAt != null,
  });
  const killed = `killed after ${nth}`;
  // Its last letter may still be on its way.
  await edge.tick();
  expect((await deletionOf(db, id))?.receipt, killed).toBeTruthy();
  expect(await leftOf(db, { id, email: person.email }), killed).toEqual([]);
  expect(
    agents.filter((agent) => keeper.has(agent)),
    killed,
  ).toEqual([]);
  expect((await linesOf(db, id)).filter((line) => line === "account.deleted")).toHaveLength(1);
  const last = edge.letters.filter(({ to, text }) => to === person.email && text.includes("/account-receipts/"));
  expect(last, killed).toHaveLength(1);
  return isThrough;
}

describe.each([
  ["nothing else", { agent: 3, account: 7 }],
  ["the host down", { agent: 11, account: 43 }],
  ["object storage down", { agent: 5, account: 17 }],
] as const)("with %s, and its edge killed between its words, twice", (name, sampled) => {
  it.each([
    ["agent", agentLeaves],
    ["account", accountLeaves],
  ] as const)(
    "an %s's deletion ends with nothing left and one receipt",
    async (what, leaves) => {
      const step = TRIES_ALL ? 1 : sampled[what];
      let words = 0;
      while (!(await leaves(words, FAULTS[name]))) words += step;
      console.log(`${what} leaves with ${name}: killed after every ${step}. of ${words} words`);
      expect(words).toBeGreaterThan(10);
    },
    LONG_MS,
  );
});
