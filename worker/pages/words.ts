import type { RuntimeName, StepName } from "../../schema/protocol/index.ts";
import type { Scope, TenantAction, TenantView } from "./deps.ts";

/** Everything the pages say about codes of other rooms, one table each. A new code does not compile without its words. */

/** What a host does, for its owner: while it happens, when it is done, and why it is done at all. */
export const STEP_WORDS: Record<StepName, { doing: string; done: string; why: string }> = {
  accept: {
    doing: "Checking the signed order",
    done: "Signed order accepted",
    why: "The server obeys only orders that carry our signature and its own name.",
  },
  image: {
    doing: "Making the software ready",
    done: "Software ready",
    why: "A server prepares each runtime once; later agents skip this.",
  },
  uid: {
    doing: "Giving it an identity of its own",
    done: "Own identity given",
    why: "No two agents share a user, so none can read another's files.",
  },
  volume: {
    doing: "Making its private storage",
    done: "Private storage made",
    why: "A folder that only this agent can open.",
  },
  network: {
    doing: "Laying its private network",
    done: "Private network laid",
    why: "One network per agent, with nobody else on it.",
  },
  firewall: {
    doing: "Checking that the firewall stands",
    done: "Firewall checked",
    why: "No agent starts before its walls are proven to be up.",
  },
  config: {
    doing: "Writing its configuration",
    done: "Configuration written",
    why: "The agent can read it but not change it, whatever it is talked into.",
  },
  container: {
    doing: "Starting it in its cell",
    done: "Started in its cell",
    why: "No privileges, a read-only system, hard limits on memory and processes.",
  },
  health: {
    doing: "Waiting for its first sign of life",
    done: "Alive and well",
    why: "We wait until the agent itself says that it is ready.",
  },
  route: {
    doing: "Opening the door for you",
    done: "Door open, for you only",
    why: "From now on your address leads here, after a check of who is asking.",
  },
  unroute: { doing: "Closing the door", done: "Door closed", why: "Nobody gets in from now on." },
  stop: { doing: "Stopping the agent", done: "Agent stopped", why: "It gets a moment to put its things away." },
  remove_container: {
    doing: "Removing its cell",
    done: "Cell removed",
    why: "After this nothing of it runs any more.",
  },
  remove_network: { doing: "Removing its network", done: "Network removed", why: "The private network is taken down." },
  remove_copies: {
    doing: "Removing its backups",
    done: "Backups removed",
    why: "Copies in object storage go too.",
  },
  remove_volume: { doing: "Destroying its storage", done: "Storage destroyed", why: "Its files are gone for good." },
  forget: { doing: "Forgetting it", done: "Forgotten", why: "The server looks once more and finds nothing left." },
};

/** The owner's own actions in the list of events. */
const OWNER_WORDS: ReadonlyMap<string, string> = new Map([
  ["owner.create", "You created this agent"],
  ["owner.start", "You asked it to start"],
  ["owner.stop", "You asked it to stop"],
  ["owner.restart", "You asked for a restart"],
  ["operator.retry", "An operator had it tried again"],
  ["owner.delete", "You asked for its deletion"],
  ["owner.undelete", "You took its deletion back"],
  ["undo.over", "The time to take its deletion back is over"],
  ["owner.secret", "You changed a key"],
  ["owner.channel.connect", "You connected a channel"],
  ["owner.channel.disconnect", "You disconnected a channel"],
  ["owner.channel.pair", "Somebody sent your code, and is heard from now on"],
  ["owner.channel.allow", "You added somebody who is heard"],
  ["owner.channel.disallow", "You removed somebody who was heard"],
  ["messages.stopped", "A conversation was stopped"],
  ["messages.notice", "Most of today's messages are used up"],
  ["messages.limit", "Today's messages are used up"],
  ["owner.backup", "You asked for a copy"],
  ["owner.restore", "You asked for its former data"],
  ["owner.move", "You asked for another server"],
  ["owner.moved", "Started on another server from its last copy"],
  ["owner.stayed", "Goes on where it is: no other server has room"],
  ["billing.hold", "Stopped, because the account does not cover it; its data is kept"],
  ["billing.release", "The account covers it again"],
  ["billing.plan", "Its bounds follow the new plan"],
  ["billing.delete", "Deleted, after the account was not paid and you were warned"],
]);

/** The sentence for one event, whoever caused it. A step that these pages do not know yet is shown as it is called. */
export function eventWords(step: string, status: "started" | "progress" | "done" | "failed"): string {
  const owner = OWNER_WORDS.get(step);
  if (owner) return owner;
  const words = Object.hasOwn(STEP_WORDS, step) ? STEP_WORDS[step as StepName] : null;
  if (!words) return step.replaceAll("_", " ");
  if (status === "done") return words.done;
  return status === "failed" ? `${words.doing}: this did not work` : words.doing;
}

/** What a key may do, as a sentence that begins with "It may". */
export const SCOPE_WORDS: Record<Scope, { short: string; about: string }> = {
  "tenants:read": { short: "see your agents", about: "Read their state, events and limits." },
  "tenants:write": { short: "change your agents", about: "Create, start, stop and delete them, and set their keys." },
  "agents:open": { short: "open your agents", about: "Get through the door to the agents themselves." },
};

type Tone = "good" | "busy" | "calm" | "bad";

export const STATE_WORDS: Record<TenantView["state"], { label: string; tone: Tone; sentence: string }> = {
  pending: { label: "Waiting", tone: "busy", sentence: "Your agent is next in line on its server." },
  creating: { label: "Being built", tone: "busy", sentence: "Your agent is being built, wall by wall." },
  running: { label: "Running", tone: "good", sentence: "Your agent is running. Nobody but you can open it." },
  asleep: {
    label: "Asleep",
    tone: "calm",
    sentence: "Your agent is asleep, since nobody needed it for a while. Open it, and it wakes.",
  },
  suspended: { label: "Suspended", tone: "calm", sentence: "Your agent is suspended. Its data is kept." },
  stopped: { label: "Stopped", tone: "calm", sentence: "Your agent is stopped. Its data is kept." },
  failed: { label: "Needs attention", tone: "bad", sentence: "Your agent could not be brought to where you want it." },
  stopping: { label: "Stopping", tone: "busy", sentence: "Your agent is being stopped. Its data is kept." },
  deleting: { label: "Being deleted", tone: "busy", sentence: "Your agent is being deleted with everything it had." },
  deleted: { label: "Deleted", tone: "calm", sentence: "This agent is gone, and its storage with it." },
};

export const ACTION_WORDS: Record<Exclude<TenantAction, "delete">, string> = {
  start: "Start",
  stop: "Stop",
  restart: "Restart",
  undelete: "Undo the deletion",
};

export const RUNTIME_WORDS: Record<RuntimeName, { name: string; about: string }> = {
  openclaw: { name: "OpenClaw", about: "The full personal agent, with a control page of its own." },
  echo: { name: "Echo", about: "A tiny test agent that answers with what it received. Ready within seconds." },
  zeroclaw: { name: "ZeroClaw", about: "A small agent in Rust. Not yet run here against the real binary." },
  custom: { name: "Your own image", about: "An image that this platform's operator has allowed, by its digest." },
};

/** The layers in the order in which a stranger would meet them; `kept` says how each is held. */
export const LAYERS = [
  {
    number: 1,
    name: "Perimeter",
    short: "The provider's firewall lets web traffic in, and nothing else from the street.",
    technique: "cloud firewall",
    kept: "kept by the operator of the server",
  },
  {
    number: 2,
    name: "Rampart",
    short: "The server refuses every connection that it did not ask for, all over again.",
    technique: "host firewall, UFW",
    kept: "kept by the operator of the server",
  },
  {
    number: 3,
    name: "Moat",
    short: "Each agent has a network of its own: no neighbours, no host, no cloud metadata.",
    technique: "iptables, a bridge per agent",
    kept: "verified before every start",
  },
  {
    number: 4,
    name: "Cell",
    short: "The agent runs without privileges on a read-only system, under hard limits.",
    technique: "hardened container",
    kept: "set at every start",
  },
  {
    number: 5,
    name: "Door",
    short: "Before a single byte reaches the agent, the door asks: is it you, and is it yours?",
    technique: "forward authentication",
    kept: "asks at every request",
  },
] as const;

/** What an owner is told from 80, 95 and 99 % of the quota on. */
export const STORAGE_WORDS = {
  nearly_full: " More than four fifths are full.",
  almost_full: " Almost full: soon it can write nothing more.",
  full: " Full: it can write nothing more until it deletes something.",
} as const;
