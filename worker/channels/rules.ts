import { type ChannelName, HAND_OVER, type RuntimeName, type TenantChannels } from "../../schema/protocol/index.ts";
import { type LoopSign, loopSign } from "./loops.ts";
import { VAULT_NAMES } from "./names.ts";

export type { LoopSign } from "./loops.ts";

/** No provider sends more of what an agent could use; beyond it nothing is even parsed. */
export const MAX_BODY_BYTES = 256 * 1024;
export const MAX_TEXT_CHARACTERS = 8_192;
/** A provider repeats for a day; whoever is not heard by then is told nothing any more. */
export const KEPT_WAITING_MS = 24 * 3_600_000;
/** How long a replay is known for one, well beyond any provider's own repeats. */
export const REPLAY_KNOWN_MS = 3 * 24 * 3_600_000;
export const COUNTS_KEPT_DAYS = 90;
export const REFUSALS_KEPT = 50;
export const MAX_PEOPLE = 100;

/** Of one person, and of one conversation, in a minute: by the provider's clock, so that a backlog is no flood. */
export const PER_MINUTE = { sender: 20, conversation: 30 } as const;
/** From here on the owner is told. */
export const NOTICE_SHARE = 0.8;

/** A person's words, as every channel gives them. */
export interface Incoming {
  /** The provider's own name for this message, for good. */
  updateId: string;
  /** Rises within a conversation, as far as the provider says so. */
  position: number;
  conversation: string;
  senderId: string;
  /** The provider says that no person wrote it. */
  isAutomaton: boolean;
  /** Between this person and the bot alone: only there a pairing code counts. */
  isPrivate: boolean;
  text: string;
  /** What its provider wants to see again with an answer, besides the conversation; null where that is enough. */
  reply: string | null;
  sentAt: number;
}

/** Signed without a time, a recording is as good as the original: what is older than our memory is one. */
export const isRecording = ({ sentAt }: Pick<Incoming, "sentAt">, nowMs: number): boolean =>
  nowMs - sentAt >= REPLAY_KNOWN_MS;

/** Why a message went no further. Whoever sent it hears nothing; the owner sees how many. */
export const REFUSALS = [
  "forged",
  "too_large",
  "malformed",
  "unsupported",
  "replayed",
  "not_allowed",
  "wrong_code",
  "too_long",
  "sender_limit",
  "conversation_limit",
  "daily_limit",
  "loop",
  "stopped",
  "expired",
  "not_taken",
  "unanswered",
  "unreadable",
] as const;
export type Refusal = (typeof REFUSALS)[number];

/** What is known when a message is judged. */
export interface Known {
  people: ReadonlySet<string>;
  isReplay: boolean;
  isStopped: boolean;
  /** In the minute before it was sent. */
  bySender: number;
  inConversation: number;
  /** Accepted today, of all channels of the agent, and how many may be. */
  today: number;
  perDay: number;
  /** Newest first: what came in this conversation before. */
  before: readonly Heard[];
  digest: string;
  pairing: { isOpen: boolean; isRight: boolean };
  /** The agent is asked in words: a picture or a sticker would ask it nothing. */
  needsWords: boolean;
}

export interface Heard {
  senderId: string;
  sentAt: number;
  digest: string;
}

export type Verdict =
  | { kind: "take" }
  | { kind: "pair" }
  | { kind: "refuse"; why: Refusal }
  /** It is the sign of a loop: the exchange ends here, until the owner lets it go on. */
  | { kind: "stop"; why: LoopSign };

export function judge(message: Incoming, known: Known): Verdict {
  const refuse = (why: Refusal): Verdict => ({ kind: "refuse", why });
  if (known.isReplay) return refuse("replayed");
  // In a group others read along and write: whom the agent obeys would be up to whoever let it in.
  if (!message.isPrivate) return refuse("unsupported");
  if (!known.people.has(message.senderId)) {
    // A code is a try only where one is open, looks like one, and comes from a person.
    const isTry = known.pairing.isOpen && !message.isAutomaton && codeIn(message.text) !== null;
    if (!isTry) return refuse("not_allowed");
    return known.pairing.isRight ? { kind: "pair" } : refuse("wrong_code");
  }
  if (known.isStopped) return refuse("stopped");
  if (known.needsWords && message.text.trim() === "") return refuse("unsupported");
  if (message.text.length > MAX_TEXT_CHARACTERS) return refuse("too_long");
  const sign = loopSign(message, known.digest, known.before);
  if (sign) return { kind: "stop", why: sign };
  if (known.bySender >= PER_MINUTE.sender) return refuse("sender_limit");
  if (known.inConversation >= PER_MINUTE.conversation) return refuse("conversation_limit");
  if (known.today >= known.perDay) return refuse("daily_limit");
  return { kind: "take" };
}

/** `ABCD-EFGH`, in letters and digits that cannot be taken for each other: 40 random bits. */
const CODE_ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789";
const CODE = /^(?:\/start[ _]+)?([A-HJ-KM-NP-Z2-9]{4})[- ]?([A-HJ-KM-NP-Z2-9]{4})$/i;
export const PAIRING = { minutes: 10, tries: 5 } as const;

/** `random`: 8 or more bytes, of which each makes one letter. */
export const codeFrom = (random: Uint8Array): string => {
  const letters = [...random.subarray(0, 8)].map((byte) => CODE_ALPHABET[byte % CODE_ALPHABET.length]).join("");
  return `${letters.slice(0, 4)}-${letters.slice(4)}`;
};

/** The code that a text consists of, in one spelling, or null. */
export function codeIn(text: string): string | null {
  const [, first, second] = CODE.exec(text.trim()) ?? [];
  return first && second ? `${first}-${second}`.toUpperCase() : null;
}

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 10 * 60_000;
/** Before the next attempt, after so many in vain. `random01` spreads those that failed together. */
export const pauseMs = (attempts: number, random01: number): number =>
  Math.round(Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(attempts, 20)) * (0.75 + random01 / 2));

export const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

/** Never a name: what people call themselves can be anybody's. */
export const SENDER_SHAPE: Readonly<Record<ChannelName, RegExp>> = {
  telegram: /^[1-9]\d{0,15}$/,
  discord: /^[1-9]\d{16,19}$/,
  slack: /^[UW][A-Z0-9]{6,20}$/,
  whatsapp: /^[1-9]\d{6,14}$/,
};

/** Why a hand-over did not end with the agent's word that it has the message. */
export type HandOverFailure =
  | "host_unreachable"
  | "door_refused"
  | "too_many"
  | "agent_away"
  | "agent_refused"
  | "not_taken"
  | "provider_away"
  | "token_refused";

/** What an answer from behind the door means; null: taken. */
export function failureOf(status: number, isTaken: boolean): HandOverFailure | null {
  if (status >= 200 && status < 300) return isTaken ? null : "not_taken";
  if (status === 429) return "too_many";
  if (status === 401 || status === 403) return "door_refused";
  if (status === 400 || status === 413 || status === 415 || status === 422) return "agent_refused";
  return "agent_away";
}

/** A message that the agent itself does not want must not keep those behind it waiting for a day. */
export const isHopeless = (failure: HandOverFailure, attempts: number): boolean =>
  failure === "agent_refused" && attempts >= 5;

/** Sealed in the vault beside the agent's other secrets. No variable of a container can have this name. */
export const MESSAGE_KEY = "chelar.messages";

/** Where a provider sends to. */
export const hookUrl = (dashboardOrigin: string, { kind, id }: { kind: string; id: string }) =>
  `${dashboardOrigin}/hooks/${kind}/${id}`;

/** Whether the agent itself speaks to that provider: then it has the channel's keys, and the list of who is heard. */
export const isTold = (runtime: RuntimeName, kind: ChannelName): boolean => HAND_OVER[runtime][kind]?.form === "own";

/** Names in the vault that stay at the edge: of channels for which the platform speaks. */
export const keptFromAgent = (runtime: RuntimeName, rows: readonly { kind: ChannelName }[]): ReadonlySet<string> =>
  new Set(rows.filter(({ kind }) => !isTold(runtime, kind)).flatMap(({ kind }) => Object.values(VAULT_NAMES[kind])));

/** What the agent's configuration says of its channels; undefined: it has none that its runtime has a place for. */
export function channelsOf(
  runtime: RuntimeName,
  rows: readonly { id: string; kind: ChannelName; senderId: string | null }[],
  at: { dashboardOrigin: string; providersAt: string | null },
): TenantChannels | undefined {
  const mine = rows.filter(({ kind }) => kind === "telegram");
  const [first] = mine;
  if (!first || !isTold(runtime, "telegram")) return undefined;
  const allowFrom = mine.flatMap(({ senderId }) => (senderId === null ? [] : [Number(senderId)]));
  return {
    telegram: {
      webhookUrl: hookUrl(at.dashboardOrigin, first),
      allowFrom,
      ...(at.providersAt && { apiRoot: at.providersAt }),
    },
  };
}
