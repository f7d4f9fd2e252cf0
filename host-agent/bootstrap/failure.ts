import { describeUnfit, type Unfit } from "./rules.ts";

/** Why a server did not become a host. Every one is a sentence for the operator; none holds a secret. */
export type Failure =
  | { reason: "unreachable"; server: string; detail: string }
  | { reason: "host_key_unknown"; server: string; shown: string }
  | { reason: "host_key_changed"; server: string; shown: string; expected: string; from: string }
  | { reason: "authentication_refused"; server: string; with: string }
  | { reason: "credentials"; detail: string }
  | { reason: "connection_lost"; server: string }
  | { reason: "busy"; server: string }
  | { reason: "unfit"; server: string; unfit: readonly Unfit[] }
  | { reason: "edge"; detail: string }
  | { reason: "step_failed"; step: string; detail: string };

export class BootstrapFailed extends Error {
  readonly failure: Failure;
  constructor(failure: Failure, cause?: unknown) {
    super(describe(failure), { cause });
    this.name = "BootstrapFailed";
    this.failure = failure;
  }
}

const AGAIN = "It is safe to run the same command again";

export function describe(failure: Failure): string {
  switch (failure.reason) {
    case "unreachable":
      return `${failure.server} cannot be reached over SSH (${failure.detail}): check address, port and the way there. Nothing was changed.`;
    case "host_key_unknown":
      return `${failure.server} shows the host key ${failure.shown}, which nobody has confirmed yet: compare it with the server's console and pass --fingerprint ${failure.shown}. Nothing was changed.`;
    case "host_key_changed":
      return `${failure.server} shows the host key ${failure.shown}, but ${failure.from} says ${failure.expected}: somebody may sit in between, so nothing was sent. If the server was installed anew, remove the old line there.`;
    case "authentication_refused":
      return `${failure.server} refuses to let root in with ${failure.with}: put its public part into /root/.ssh/authorized_keys there, or name another with --key. Nothing was changed.`;
    case "credentials":
      return `${failure.detail} Nothing was changed.`;
    case "connection_lost":
      return `the connection to ${failure.server} broke. ${AGAIN}: what was done stays, the rest follows.`;
    case "busy":
      return `another \`host add\` is at work on ${failure.server}, or its connection broke a moment ago: wait a minute, then run this again. Nothing was changed.`;
    case "unfit":
      return [
        `${failure.server} cannot become a host. Nothing was changed:`,
        ...failure.unfit.map((unfit) => `  - ${describeUnfit(unfit)}`),
      ].join("\n");
    case "edge":
      return failure.detail;
    case "step_failed":
      return `step "${failure.step}" failed: ${failure.detail}\n${AGAIN} once the cause is gone.`;
  }
}
