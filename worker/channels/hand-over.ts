import { type AgentQuestion, agentAnswer, type ChannelName, HAND_OVER } from "../../schema/protocol/index.ts";
import { MESSAGES_PATH } from "../access/index.ts";
import { tenantHostnameOf } from "../env.ts";
import { readLimited } from "../http.ts";
import { SECRET_HEADER } from "./adapters/telegram.ts";
import { keptIn } from "./body.ts";
import type { ChannelsContext } from "./context.ts";
import type * as queue from "./queue.ts";
import { failureOf, type HandOverFailure } from "./rules.ts";
import type { MessageRow } from "./store.ts";

/** Shorter than the gate holds a program while the agent wakes; the wake goes on without us. */
const TIMEOUT_MS = 14_000;
const MAX_ANSWER_BYTES = 256 * 1024;

export type Waiting = NonNullable<Awaited<ReturnType<typeof queue.readWaiting>>>;

/** What came of one try. `thinking`: the agent has it, and its host says when there is an answer. */
export type Said =
  | { kind: "taken" }
  | { kind: "answered"; text: string }
  | { kind: "thinking" }
  | { kind: "failed"; why: HandOverFailure };

export interface HandedOver {
  message: MessageRow;
  body: Uint8Array<ArrayBuffer>;
  proof: string;
  /** For an answer, before the host says that there is none yet. */
  waitMs: number;
}

/** Brings one message to its agent, through Caddy, door and gate of its host. */
export async function handOver(
  context: ChannelsContext,
  { channel, tenant, host }: Waiting,
  it: HandedOver,
): Promise<Said> {
  const way = HAND_OVER[tenant.runtime][channel.kind];
  if (!way) return { kind: "failed", why: "agent_away" };
  const hostname = tenantHostnameOf(context.config.tenants, tenant.slug);
  const delivery = { sub: tenant.id, aud: host.id, hostname, channel: channel.kind, path: way.path };
  const isOwn = way.form === "own";
  try {
    const response = await context.fetch(`${host.endpoint}${MESSAGES_PATH}`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${await context.deliveryToken(delivery)}`,
        "content-type": "application/json",
        ...(isOwn && { [SECRET_HEADER]: it.proof }),
      },
      body: isOwn ? it.body : JSON.stringify(questionOf(channel.kind, it)),
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (isOwn) {
      await response.body?.cancel();
      const failure = failureOf(response.status, response.headers.get(way.taken.header) === way.taken.value);
      return failure === null ? { kind: "taken" } : { kind: "failed", why: failure };
    }
    if (response.status === 202) {
      await response.body?.cancel();
      return { kind: "thinking" };
    }
    const failure = failureOf(response.status, true);
    if (failure !== null) {
      await response.body?.cancel();
      return { kind: "failed", why: failure };
    }
    const said = agentAnswer.safeParse(JSON.parse(await readLimited(response, MAX_ANSWER_BYTES)));
    if (!said.success) return { kind: "failed", why: "not_taken" };
    const text = said.data.answer?.trim() ?? "";
    return text === "" ? { kind: "taken" } : { kind: "answered", text };
  } catch {
    return { kind: "failed", why: "host_unreachable" };
  }
}

const questionOf = (channel: ChannelName, { message, body, waitMs }: HandedOver): AgentQuestion => ({
  // Of our own row: unique for ever, and a provider's own name for a message may be anything.
  id: `msg-${message.id}`,
  channel,
  conversation: message.conversation,
  sender: message.senderId,
  text: keptIn(body).text,
  waitMs,
});
