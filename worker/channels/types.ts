import { z } from "@hono/zod-openapi";
import { channelName } from "../../schema/protocol/index.ts";
import type { Person } from "../accounts/types.ts";
import type { Result } from "../problem.ts";
import type { Background } from "../tenants/types.ts";
import type { Typed } from "./adapters/index.ts";

/** One channel, as the agent's owner sees it. Nothing of what is written. */
export const channelView = z
  .object({
    kind: channelName,
    account: z.string().openapi({ description: "The bot's public name at its provider." }),
    state: z.enum(["connected", "connecting", "failed"]),
    failure: z.string().nullable(),
    setup: z.object({ url: z.string(), word: z.string().nullable() }).nullable().openapi({
      description:
        "Where the provider is to send, and the word by which it asks whether that is here, for its own pages; null where the platform says it there itself.",
    }),
    people: z.array(z.object({ id: z.string(), addedAt: z.iso.datetime() })).openapi({
      description: "Who is heard, by the number that the provider gave them for good.",
    }),
    pairingUntil: z.iso.datetime().nullable(),
    today: z
      .record(z.string(), z.int())
      .openapi({ description: "Messages by what became of them: accepted, taken, or why they were refused." }),
    waiting: z.int(),
    perDay: z.int(),
    stopped: z.array(z.object({ conversation: z.string(), at: z.iso.datetime(), why: z.string() })),
    refusals: z.array(z.object({ at: z.iso.datetime(), why: z.string(), senderId: z.string().nullable() })),
  })
  .openapi("Channel");
export type ChannelView = z.infer<typeof channelView>;

export interface ChannelsService {
  list(person: Person, tenantId: string): Promise<Result<ChannelView[]>>;
  /** Asks the provider who the token is, seals it, and has its messages sent here. A second time replaces the token. */
  connect(
    person: Person,
    tenantId: string,
    kind: string,
    typed: Partial<Typed>,
    later: Background,
  ): Promise<Result<ChannelView>>;
  disconnect(person: Person, tenantId: string, kind: string, later: Background): Promise<Result<null>>;
  /** A code that makes whoever sends it to the bot one who is heard: once, for ten minutes. */
  openPairing(person: Person, tenantId: string, kind: string): Promise<Result<{ code: string; until: string }>>;
  allow(person: Person, tenantId: string, kind: string, senderId: string, later: Background): Promise<Result<null>>;
  disallow(person: Person, tenantId: string, kind: string, senderId: string, later: Background): Promise<Result<null>>;
  /** Lets a conversation go on that was stopped as a loop. */
  resume(person: Person, tenantId: string, kind: string, conversation: string): Promise<Result<null>>;
}
