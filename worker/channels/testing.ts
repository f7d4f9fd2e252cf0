import { type AgentQuestion, ASK_PATH, agentQuestion } from "../../schema/protocol/index.ts";
import type { Provider } from "../../test/stand-ins/provider.ts";
import { createTelegram, type Telegram, type User } from "../../test/stand-ins/telegram.ts";
import { MESSAGES_PATH } from "../access/index.ts";
import { Client, startTestEdge, type TestEdge } from "../testing/edge.ts";
import { TestHost } from "../testing/host.ts";
import type { ChannelView } from "./types.ts";

export const TOKEN = "123456789:AAHfiqksKZ8WmR2zSjiQ7_v4TMAKdiHm9T0";
export const OWNER_ID = 4_242_424_242;

interface Update {
  update_id: number;
  message: { from: { id: number }; text: string };
}

interface HostSays {
  status: number;
  answer?: string | null;
}

/** What stands behind the door: writes down what it is handed, and fails as it is told to. */
export interface RecordingAgent {
  seen: Update[];
  /** Called before (null: with) the writing down; what it returns is the answer instead. */
  fails: ((update: Update) => "away" | "dies_after_taking" | "refuses" | "says_nothing" | null) | null;
  asked: Headers[];
  /** Where it is asked: what it was asked, and what its host says to it. */
  questions: AgentQuestion[];
  says: (question: AgentQuestion) => HostSays | Promise<HostSays>;
}

export interface Lab {
  edge: TestEdge;
  host: TestHost;
  telegram: Telegram;
  agent: RecordingAgent;
  owner: Client;
  tenantId: string;
  /** Of its bot. */
  token: string;
  path: string;
  /** The owner's bot, connected, with them on the list. */
  connect(): Promise<ChannelView>;
  view(): Promise<ChannelView>;
  /** What happened today, by what became of it. */
  today(): Promise<Record<string, number>>;
  /** The same edge, host and owner, with another agent and another bot. */
  another(token?: string): Promise<Lab>;
  /** Somebody, the owner where nobody else is named, writes as people do: never twice after the same time. */
  write(text: string, from?: User): Promise<number>;
  /** What the agent has written down. */
  texts(): string[];
  /** A call to the webhook as anybody can make it. */
  hook(body: string, headers?: Record<string, string>): Promise<Response>;
}

const repeats: RecordingAgent["says"] = ({ text }) => ({ status: 200, answer: `You said: ${text}` });

/** An edge whose outside is a Telegram, and a host whose agent writes down what passes the door. */
export async function startLab(
  options: {
    token?: string;
    bindings?: Record<string, string>;
    onHandOver?: (request: Request) => void;
    /** Its day has just begun: counts are of a day, and no test reaches over its end. */
    isEarly?: boolean;
    /** Another provider than Telegram, or null where the call is not for one. */
    provider?: (url: URL, init: RequestInit) => Promise<Response> | null;
  } = {},
): Promise<Lab> {
  const { token = TOKEN, bindings, onHandOver, provider, isEarly = false } = options;
  const agent: RecordingAgent = { seen: [], fails: null, asked: [], questions: [], says: repeats };
  const host = await TestHost.make();
  // Nothing is routed here that the product does not ask for by its real address.
  const outside: typeof fetch = async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : String(input));
    const said = provider?.(url, init ?? {});
    if (said) return said;
    if (url.origin === "https://api.telegram.org") {
      const { status, body } = telegram.call(url.pathname, JSON.parse(String(init?.body ?? "{}")));
      return Response.json(body, { status });
    }
    if (url.pathname === MESSAGES_PATH) return handOver(new Request(url, init as RequestInit));
    return host.fetch(input, init);
  };
  const edge = await startTestEdge({ fetch: outside, ...(bindings && { bindings }) });
  const telegram = createTelegram({
    now: () => edge.world.now(),
    fetch: (input, init) => edge.send(String(input), init as RequestInit),
  });

  /** As the host's Caddy does: first the door, then the agent at the place that the door has named. */
  async function handOver(request: Request): Promise<Response> {
    onHandOver?.(request);
    const door = await edge.send("/forward-auth/message", {
      headers: {
        authorization: request.headers.get("authorization") ?? "",
        "x-chelar-host": host.ingressKey,
        "x-forwarded-method": request.method,
        "x-forwarded-uri": new URL(request.url).pathname,
      },
    });
    if (door.status !== 200) return door;
    agent.asked.push(door.headers);
    if (door.headers.get("x-chelar-path") === ASK_PATH) {
      const question = agentQuestion.parse(await request.json());
      agent.questions.push(question);
      const { status, answer = null } = await agent.says(question);
      return Response.json({ answer }, { status });
    }
    const update = (await request.json()) as Update;
    const how = agent.fails?.(update) ?? null;
    if (how === "away") return new Response("", { status: 503 });
    // A proxy's 200, or a runtime's that has not written anything down yet.
    if (how === "says_nothing") return new Response("{}");
    if (how === "refuses") return new Response("", { status: 400 });
    agent.seen.push(update);
    if (how === "dies_after_taking") throw new TypeError("the connection was reset");
    return new Response("{}", { headers: { "x-openclaw-delivery-accepted": "durable" } });
  }

  const now = edge.world.now();
  if (isEarly) edge.world.forward(Math.ceil(now / 86_400_000) * 86_400_000 + 3_600_000 - now);
  host.now = () => edge.world.now();
  await host.enrol(edge);
  const owner = await new Client(edge).signUp();

  let bots = 123_000_000;
  // One bot speaks for one agent.
  async function another(bot = token.replace(/^\d+/, String(bots++))): Promise<Lab> {
    telegram.addBot(bot, "ada_bot");
    Object.assign(agent, { seen: [], asked: [], fails: null, questions: [], says: repeats });
    const tenantId = (await owner.create()).body.id;
    const path = `/api/v1/tenants/${tenantId}/channels`;
    const view = async () => {
      const { body } = await owner.json<{ channels: [ChannelView] }>("GET", path);
      return body.channels[0];
    };
    return {
      ...{ edge, host, telegram, agent, owner, tenantId, token: bot, path, view, another },
      texts: () => agent.seen.map(({ message }) => message.text),
      write(text, from = { id: OWNER_ID }) {
        edge.world.forward(3_000 + Math.floor(Math.random() * 9_000));
        telegram.write(bot, from, text);
        return telegram.push(bot);
      },
      async connect() {
        const connected = await owner.json<ChannelView>("PUT", `${path}/telegram`, { token: bot });
        if (connected.status !== 200) throw new Error(JSON.stringify(connected.body));
        await owner.request("PUT", `${path}/telegram/people/${OWNER_ID}`);
        return view();
      },
      today: async () => (await view()).today,
      hook: (body, headers = {}) => {
        const { url, secret } = telegram.webhookOf(bot) ?? { url: "", secret: "" };
        return edge.send(url, {
          method: "POST",
          headers: { "content-type": "application/json", "x-telegram-bot-api-secret-token": secret, ...headers },
          body,
        });
      },
    };
  }
  return another(token);
}

/** A provider's answer to a call of the edge. */
export async function asked(provider: Provider, url: URL, init: RequestInit): Promise<Response> {
  const json = JSON.parse(String(init.body ?? "{}")) as Record<string, unknown>;
  const method = init.method ?? "GET";
  const { status, body, headers } = await provider.call({
    ...{ method, path: `${url.pathname}${url.search}`, headers: new Headers(init.headers), json },
  });
  return Response.json(body, { status, ...(headers && { headers }) });
}
