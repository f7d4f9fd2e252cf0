import type { StepName } from "../../schema/protocol/index.ts";
import type { Problem, TenantAction, TenantEvent, TenantView } from "./deps.ts";

/**
 * Where to go after sign-in, if it is a path of this very site, else null. Refuses what browsers read as another
 * origin: `//evil`, `/\evil`, schemes, and tabs or newlines, which URL parsers drop before they look.
 */
export function safeNext(next: string | undefined): string | null {
  if (!next || next.length > 2_000 || !/^\/(?![/\\])[\x21-\x5b\x5d-\x7e]*$/.test(next)) return null;
  const url = URL.parse(next, "https://here.invalid");
  return url?.origin === "https://here.invalid" && !url.pathname.startsWith("//") ? next : null;
}

/** What the owner may press in this state. Deletion is offered apart from these. */
export function actionsFor(state: TenantView["state"]): Exclude<TenantAction, "delete">[] {
  switch (state) {
    case "pending":
    case "creating":
      return ["stop"];
    case "running":
    case "asleep":
      return ["restart", "stop"];
    case "suspended":
    case "stopped":
    case "stopping":
      return ["start"];
    case "failed":
      return ["restart", "stop"];
    case "deleting":
    case "deleted":
      return [];
  }
}

/** Whether the page should expect news by itself. */
export const isMoving = (state: TenantView["state"]): boolean =>
  state === "pending" || state === "creating" || state === "stopping" || state === "deleting";

/** The steps that the owner is told to expect. A host may skip one that is done already, or report others. */
const EXPECTED = {
  running: ["accept", "image", "uid", "volume", "network", "firewall", "config", "container", "health", "route"],
  suspended: ["accept", "unroute", "stop"],
  stopped: ["accept", "unroute", "stop", "remove_container"],
  deleted: [
    "accept",
    "unroute",
    "stop",
    "remove_container",
    "remove_network",
    "remove_volume",
    "remove_copies",
    "forget",
  ],
} as const satisfies Record<TenantView["desired"], readonly StepName[]>;

export interface StoryLine {
  step: string;
  state: "waiting" | "doing" | "done" | "failed";
  detail: string | null;
  /** 0 to 1, where the step can tell. */
  fraction: number | null;
  tookMs: number | null;
}

/**
 * The host's steps for what the owner wants now, in order. While things move, steps still to come are listed as
 * waiting; once they have settled only what was reported is left.
 */
export function storyOf(view: TenantView, events: readonly TenantEvent[]): StoryLine[] {
  const newest = new Map<string, TenantEvent>();
  for (const event of events) {
    if (event.generation === view.generation && !event.step.startsWith("owner.")) newest.set(event.step, event);
  }
  const expected: readonly string[] = EXPECTED[view.desired];
  const steps = [...expected, ...[...newest.keys()].filter((step) => !expected.includes(step))];
  const lines = steps.map((step) => line(step, newest.get(step), view.image));
  return isMoving(view.state) ? lines : lines.filter((entry) => entry.state !== "waiting");
}

function line(step: string, event: TenantEvent | undefined, image: TenantView["image"]): StoryLine {
  const { detail = null, fraction = null, tookMs = null } = event ?? {};
  if (step === "image" && image && image.state !== "ready" && event?.status !== "done") {
    // The host makes an image ready for all its agents, so its progress comes with the host and not as events.
    const state = image.state === "building" ? "doing" : image.state === "failed" ? "failed" : "waiting";
    return { step, state, detail: image.detail ?? detail, fraction: image.fraction ?? fraction, tookMs: null };
  }
  if (!event) return { step, state: "waiting", detail, fraction, tookMs };
  const state = event.status === "done" ? "done" : event.status === "failed" ? "failed" : "doing";
  return { step, state, detail, fraction: state === "doing" ? fraction : null, tookMs };
}

/** Steps with which something ended for the owner. The others are in the story and would only drown these. */
const LAST_STEPS: readonly string[] = ["route", "stop", "forget"] satisfies StepName[];

/** What the list of recent events shows: the owner's own actions, how they ended, and every failure. */
export const isMilestone = ({ step, status }: TenantEvent): boolean =>
  step.startsWith("owner.") || status === "failed" || (status === "done" && LAST_STEPS.includes(step));

/** How much of the story is behind us, 0 to 1. */
export function progressOf(story: readonly StoryLine[]): number {
  if (story.length === 0) return 0;
  const behind = story.reduce((sum, { state, fraction }) => sum + (state === "done" ? 1 : (fraction ?? 0)), 0);
  return Math.min(1, behind / story.length);
}

export type WallState = "standing" | "rising" | "planned" | "broken";
export interface Fort {
  /** Walls 3, 4 and 5: those that are raised for this very agent. 1 and 2 belong to the server. */
  walls: Record<3 | 4 | 5, WallState>;
  lamp: boolean;
}

const RAISED_BY: Record<3 | 4 | 5, readonly string[]> = {
  3: ["network", "firewall"],
  4: ["uid", "volume", "config", "container"],
  5: ["health", "route"],
};

/** The drawing of one agent: which of its walls stand, and whether there is light inside. */
export function fortOf(view: TenantView, story: readonly StoryLine[]): Fort {
  const all = (state: WallState) => ({ 3: state, 4: state, 5: state });
  switch (view.state) {
    case "running":
    case "stopping":
      return { walls: all("standing"), lamp: view.state === "running" };
    case "asleep":
    case "suspended":
    case "stopped":
      return { walls: all("standing"), lamp: false };
    case "deleting":
    case "deleted":
      return { walls: all("planned"), lamp: false };
    case "pending":
    case "creating":
    case "failed": {
      const walls = { 3: raised(3, story), 4: raised(4, story), 5: raised(5, story) };
      return { walls, lamp: false };
    }
  }
}

function raised(number: 3 | 4 | 5, story: readonly StoryLine[]): WallState {
  const states = RAISED_BY[number].map((step) => story.find((entry) => entry.step === step)?.state ?? "waiting");
  if (states.includes("failed")) return "broken";
  if (states.every((state) => state === "done")) return "standing";
  return states.every((state) => state === "waiting") ? "planned" : "rising";
}

export type CreateField = "name" | "runtime" | "region" | "key";

/** The field of the form at which a problem's message has to stand, or null when it is about none of them. */
export function fieldOf(problem: Problem): CreateField | null {
  if (problem.field === "name" || problem.field === "runtime" || problem.field === "region") return problem.field;
  if (problem.field?.startsWith("secrets")) return "key";
  switch (problem.code) {
    case "invalid_name":
    case "name_reserved":
    case "name_taken":
      return "name";
    case "unknown_runtime":
      return "runtime";
    case "invalid_secret":
      return "key";
    default:
      return null;
  }
}

export const readableMiB = (value: number): string =>
  value >= 1024 ? `${Math.round(value / 102.4) / 10} GiB` : `${value} MiB`;

/** `22 November 2026`, in UTC. */
export const readableDay = (ms: number): string =>
  new Date(ms).toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
