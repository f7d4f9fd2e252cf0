import { eq } from "drizzle-orm";
import { channelMessages, channels } from "../../schema/db/index.ts";
import { ADAPTERS } from "./adapters/index.ts";
import { keptIn } from "./body.ts";
import type { ChannelsContext } from "./context.ts";
import type { Held, Outcome, Task } from "./deliver.ts";
import { partsOf } from "./parts.ts";
import { wrongToken } from "./register.ts";

/**
 * Brings what the agent said to the conversation that it answers, part by part, each noted before the next. A provider
 * has no name for a message that we have sent already: who dies between its word and our note sends that one part again.
 */
export async function sendAnswer(
  context: ChannelsContext,
  { found, keys, message, body, answer }: Task & { body: Uint8Array; answer: Uint8Array },
  held: Held,
): Promise<Outcome> {
  const { db } = context;
  const { channel } = found;
  const adapter = ADAPTERS[channel.kind];
  const failed = (why: "provider_away" | "token_refused", notBeforeMs = 0) =>
    ({ kind: "failed", why, tried: 1, notBeforeMs }) as const;
  if (keys.token === null) return failed("token_refused");
  const parts = partsOf(new TextDecoder().decode(answer), adapter.maxCharacters);
  for (let part = message.answerSent; part < parts.length; part += 1) {
    // Somebody else answers now: two would answer twice.
    if (!(await held())) return { kind: "thinking" };
    const told = await adapter.send(context.call(channel.kind), {
      ...{ token: keys.token, accountId: channel.accountId, conversation: message.conversation },
      ...{ reply: keptIn(body).reply, text: parts[part] as string, part },
    });
    if (!told.ok) {
      switch (told.why) {
        case "refused":
          // The conversation is gone, or the bot was put out of it: no later try would be taken.
          return { kind: "dropped", why: "unanswered" };
        case "wrong_token":
          await db
            .update(channels)
            .set({ failure: wrongToken(adapter.label) })
            .where(eq(channels.id, channel.id));
          return failed("token_refused");
        case "busy":
          return failed("provider_away", told.retryAfterSeconds * 1000);
        case "unreachable":
          return failed("provider_away");
      }
    }
    await db
      .update(channelMessages)
      .set({ answerSent: part + 1 })
      .where(eq(channelMessages.id, message.id));
  }
  return { kind: "taken" };
}
