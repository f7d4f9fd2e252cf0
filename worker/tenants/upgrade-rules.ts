import { imageReference, isBuilt, type RuntimeName } from "../../schema/protocol/index.ts";
import { good, type Result, refuse } from "../problem.ts";

/** An image by its digest; null: what hosts make of a runtime themselves. */
export type Image = string | null;

/**
 * What an agent of this runtime is to run from. Nothing asked for: what hosts make, or else the image that the operator
 * has allowed last. An image that nobody has allowed is refused in the same words as one that is not there.
 */
export function chooseImage(
  runtime: RuntimeName,
  asked: string | null | undefined,
  /** Newest first. */
  allowed: readonly string[],
): Result<Image> {
  const built = isBuilt(runtime);
  if (asked === undefined || asked === null) {
    if (built) return good(null);
    const newest = allowed[0];
    if (newest !== undefined) return good(newest);
    return refuse("image_not_allowed", { field: "runtime", detail: "The operator offers no image of this runtime." });
  }
  if (!imageReference.safeParse(asked).success) {
    return refuse("image_not_allowed", { field: "image", detail: "Name the image by its digest: name@sha256:…" });
  }
  return allowed.includes(asked) ? good(asked) : refuse("image_not_allowed", { field: "image" });
}

/** One agent of the runtime that an image is being brought to. */
export interface Candidate {
  tenantId: string;
  desired: "running" | "suspended" | "stopped" | "deleted";
  image: Image;
  running: Image;
  refused: Image;
}

export type RolloutStep =
  | { do: "begin"; ids: string[] }
  | { do: "wait" }
  | { do: "done" }
  | { do: "stop"; detail: string };

/**
 * A few at a time, and none more after the first that did not become ready. An agent that its owner has stopped is told
 * and not waited for; whether it starts is seen when it is started.
 */
export function nextRolloutStep(target: Image, batch: number, agents: readonly Candidate[]): RolloutStep {
  const living = agents.filter(({ desired }) => desired !== "deleted");
  const told = living.filter(({ image }) => image === target);
  const failed = told.filter(({ refused, running }) => refused === target && running !== target);
  if (failed.length > 0) return { do: "stop", detail: `It did not become ready for ${failed[0]?.tenantId}.` };
  const waiting = told.filter((one) => one.desired === "running" && one.running !== target);
  const left = living.filter(({ image }) => image !== target);
  const room = batch - waiting.length;
  if (left.length > 0 && room > 0) return { do: "begin", ids: left.slice(0, room).map(({ tenantId }) => tenantId) };
  return left.length + waiting.length > 0 ? { do: "wait" } : { do: "done" };
}
