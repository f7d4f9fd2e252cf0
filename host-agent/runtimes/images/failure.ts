import { StepError } from "../../tenants/ports.ts";

/** Why an image could not be made. A closed union: a reason without a sentence does not compile. */
export type BuildFailure =
  | { reason: "no_space"; directory: string; haveMiB: number; needMiB: number }
  | { reason: "tool_missing"; tool: string; package: string }
  | { reason: "not_root"; tool: string }
  | { reason: "node_too_old"; have: string; need: string }
  | { reason: "busybox_not_static"; path: string }
  | { reason: "source_unreachable"; tool: string; detail: string }
  | { reason: "package_altered"; detail: string }
  | { reason: "tool_failed"; tool: string; exit: string; detail: string }
  | { reason: "untrusted_directory"; directory: string; detail: string }
  | { reason: "engine_failed"; detail: string };

/** Retryable means: the very same call may succeed later without anybody changing this machine's software. */
export function buildError(runtime: string, failure: BuildFailure, cause?: unknown): StepError {
  const { text, retryable } = explain(failure);
  return new StepError(`The ${runtime} image could not be made: ${text}`, {
    retryable,
    cause,
    log: `image ${runtime}: ${JSON.stringify(failure)}`,
  });
}

function explain(failure: BuildFailure): { text: string; retryable: boolean } {
  switch (failure.reason) {
    case "no_space":
      return {
        text: `the server's disk has ${failure.haveMiB} MiB free and ${failure.needMiB} MiB are needed.`,
        retryable: true,
      };
    case "tool_missing":
      return { text: `${failure.tool} is not installed on the server (Debian: ${failure.package}).`, retryable: false };
    case "not_root":
      return { text: `${failure.tool} needs root.`, retryable: false };
    case "node_too_old":
      return { text: `Node ${failure.need} is needed and the server runs ${failure.have}.`, retryable: false };
    case "busybox_not_static":
      return { text: "the server's busybox needs libraries (Debian: busybox-static).", retryable: false };
    case "source_unreachable":
      return { text: `${failure.tool} could not reach where its packages come from.`, retryable: true };
    case "package_altered":
      return { text: "a package is not the one that was pinned; nothing of it was used.", retryable: false };
    case "tool_failed":
      return { text: `${failure.tool} ended with ${failure.exit}.`, retryable: true };
    case "untrusted_directory":
      return { text: "its cache directory on the server could have been written by somebody else.", retryable: false };
    case "engine_failed":
      return { text: "Docker did not take it.", retryable: true };
  }
}

/** Thrown inside a recipe; `ensure` turns it into the StepError that callers see. */
export class BuildFailed extends Error {
  readonly failure: BuildFailure;
  constructor(failure: BuildFailure, cause?: unknown) {
    super(JSON.stringify(failure), { cause });
    this.name = "BuildFailed";
    this.failure = failure;
  }
}
