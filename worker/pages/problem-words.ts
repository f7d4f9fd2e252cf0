import type { ProblemCode } from "./deps.ts";

/** What every refusal of the platform is to a person: what is the matter, and what to do. A new code does not compile without it. */
export const PROBLEM_WORDS: Record<ProblemCode, { title: string; advice: string }> = {
  invalid_body: { title: "That form was not complete", advice: "Please check the fields and send it again." },
  body_too_large: { title: "That was too much at once", advice: "Please shorten what you entered." },
  unsupported_media_type: { title: "That form could not be read", advice: "Please send it from this page." },
  invalid_name: {
    title: "This name does not work",
    advice: "Use 3 to 32 small letters, digits and single hyphens, with a letter first.",
  },
  name_reserved: {
    title: "This name is reserved",
    advice: "People could take it for the platform itself. Please choose another.",
  },
  name_taken: { title: "This name is taken", advice: "Names are unique on the whole platform. Please choose another." },
  unknown_runtime: { title: "There is no such runtime", advice: "Please choose one of those listed." },
  image_not_allowed: {
    title: "Nothing may run from this image",
    advice: "Ask whoever runs this platform to allow it by its digest.",
  },
  invalid_secret: {
    title: "This key cannot be used",
    advice: "Please copy it again from the provider's console, whole and without spaces.",
  },
  unauthenticated: { title: "Please sign in first", advice: "Your session has ended, or there was none." },
  payment_required: {
    title: "Your account does not cover this agent",
    advice: "Its data is kept. Choose a plan or pay what is open on the billing page, and it starts again.",
  },
  payment_declined: {
    title: "The payment was declined",
    advice: "Nothing has changed. Please try another card: the payment details are under “Payment details and bills”.",
  },
  payments_unavailable: {
    title: "The payment provider does not answer right now",
    advice: "Please look again in a few minutes: the billing page then shows what came of it.",
  },
  already_subscribed: {
    title: "You have a subscription already",
    advice: "Change its plan instead of beginning another one.",
  },
  not_subscribed: { title: "There is no subscription", advice: "Choose a plan first." },
  sign_in_again: {
    title: "Please sign in again first",
    advice: "What gives lasting access needs a sign-in within the last half hour.",
  },
  insufficient_scope: { title: "This key may not do that", advice: "Make one with the scope that is needed." },
  not_owner: { title: "This agent is not yours", advice: "Only its owner can open it." },
  csrf_refused: {
    title: "That request came from somewhere else",
    advice: "We only act on forms sent from our own pages. Go back, reload the page and try again.",
  },
  host_refused: { title: "That message was refused", advice: "It was not signed by a server we know." },
  enrolment_refused: { title: "That enrolment was refused", advice: "Please ask for a fresh token." },
  idempotency_key_reused: { title: "That was another request", advice: "Please send it with a key of its own." },
  idempotency_in_progress: { title: "This is being done right now", advice: "Please look again in a moment." },
  already_done: { title: "This is done already", advice: "Please look at what there is now." },
  not_found: {
    title: "There is nothing at this address",
    advice: "The page may have moved, or it belongs to another account.",
  },
  method_not_allowed: { title: "That does not work here", advice: "Go back and use the buttons on the page." },
  host_not_empty: {
    title: "The host still holds agents",
    advice: "Drain it, and delete or move its agents first.",
  },
  tenant_moving: {
    title: "This agent is on its way to another server",
    advice: "Wait until it runs there; its page shows how far it is.",
  },
  no_such_copy: {
    title: "There is no such snapshot or copy",
    advice: "Choose one of those that the agent's page lists.",
  },
  tenant_deleting: {
    title: "This agent is being deleted",
    advice: "It can no longer be changed. Its page shows how far the deletion is.",
  },
  not_failed: { title: "Nothing has failed here", advice: "It may have been repaired meanwhile. Look at it again." },
  too_many_tenants: {
    title: "Your plan has no room for another agent",
    advice: "Delete an agent you no longer need, or move to a larger plan.",
  },
  too_many_keys: { title: "There is no room for another key", advice: "Remove one that you no longer need." },
  rate_limited: { title: "That was a little fast", advice: "Please wait a minute, then try again." },
  not_a_stranger: { title: "The agent has an owner", advice: "It is the owner's to delete." },
  host_away: { title: "The server did not answer", advice: "Nothing was done. Please try again." },
  unknown_region: { title: "There is no server in this region", advice: "Please choose another one." },
  no_capacity: {
    title: "No server has room right now",
    advice: "Nothing was created. Please try again in a few minutes.",
  },
  channel_unavailable: {
    title: "The other side does not answer",
    advice: "The channel's provider cannot be reached right now. Try again in a minute.",
  },
  door_unavailable: { title: "Nobody can be let in right now", advice: "Please try again in a few seconds." },
  internal: {
    title: "Something went wrong on our side",
    advice: "Please try again. If it happens again, it is ours to repair.",
  },
};
