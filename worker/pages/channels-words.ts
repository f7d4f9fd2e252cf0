import type { LoopSign, Refusal } from "../channels/rules.ts";

/** Every reason by which a message went no further, as its owner reads it. */
export const COUNT_WORDS: Record<Refusal, string> = {
  not_allowed: "From people who are not on the list",
  wrong_code: "Wrong codes",
  replayed: "Sent again, and known",
  forged: "Calls that did not prove to be the provider's",
  too_large: "Too large to be read",
  malformed: "Not readable",
  unsupported: "Of a kind that is not handed over, or from a group",
  too_long: "Text too long",
  sender_limit: "Too many from one person within a minute",
  conversation_limit: "Too many in one conversation within a minute",
  daily_limit: "Above the limit of the day",
  loop: "Signs of two automata that answer each other",
  stopped: "In a conversation that was stopped",
  expired: "Waited for a day in vain",
  not_taken: "Refused by the agent itself",
  unanswered: "Answered, but the answer was not taken",
  unreadable: "Could not be opened any more",
};

export const STOP_WORDS: Record<string, string> = {
  automaton: "the other side is an automaton.",
  repeats: "the same text came again and again.",
  steady: "messages came always after the same pause, as from a machine.",
  no_pause: "messages came without a pause for longer than people write.",
} satisfies Record<LoopSign, string>;
