import {
  type Command,
  type CommandOutcome,
  freshClaims,
  importKeyset,
  importSigningKey,
  keyId,
  type Refusal,
  signEnvelope,
  verifyEnvelope,
} from "../schema/protocol/index.ts";
import type { Identity } from "./identity.ts";
import type { Acceptance, Journal } from "./journal.ts";
import { describeError, type Log } from "./log.ts";
import { withinMs } from "./waiting.ts";

export interface CommandDeskOptions {
  identity: Identity;
  journal: Pick<Journal, "accept" | "keyset" | "verdict">;
  log: Log;
  nowMs: () => number;
  random: (bytes: number) => Uint8Array;
  /** How long a command may wait for the edge to confirm the journal; then it is refused, and the edge repeats it. */
  confirmWithinMs?: number;
  /** A command is in the journal: whoever carries it out may look. */
  onAccepted: (command: Command) => void;
}

/** The agent's first report is on its way when the first command comes; a round trip is much shorter than this. */
const CONFIRM_WITHIN_MS = 3_000;
const UNAVAILABLE: CommandOutcome = { status: "refused", reason: "journal_unavailable" };

/** Takes a compact JWS; gives the signed result, or null for one that is not a valid command for this host. */
export type CommandDesk = (compact: string) => Promise<string | null>;

/** Verify → journal → wake → signed result. Nothing happens on this host for a command that the journal did not take. */
export async function createCommandDesk(options: CommandDeskOptions): Promise<CommandDesk> {
  const { identity, journal, log, nowMs, random, onAccepted } = options;
  const signing = {
    kid: await keyId(identity.signing),
    privateKey: await importSigningKey(identity.signing),
  };
  let keys = await importKeyset(journal.keyset());

  let heard = false;
  void journal.verdict.then(() => {
    heard = true;
  });

  const waiting: { acceptance: Acceptance; resolve: (outcome: CommandOutcome) => void }[] = [];

  function accept(acceptance: Acceptance): Promise<CommandOutcome> {
    const { promise, resolve } = Promise.withResolvers<CommandOutcome>();
    if (waiting.push({ acceptance, resolve }) === 1) setImmediate(acceptWaiting);
    return promise;
  }

  function acceptWaiting(): void {
    const batch = waiting.splice(0);
    const outcomes = tryAccept(batch.map(({ acceptance }) => acceptance));
    for (const [index, { acceptance, resolve }] of batch.entries()) {
      // One that cannot be written must not take the others with it.
      const outcome = outcomes?.[index] ?? (batch.length > 1 ? tryAccept([acceptance])?.[0] : null) ?? UNAVAILABLE;
      if (outcome.status !== "refused") onAccepted(acceptance.command);
      resolve(outcome);
    }
  }

  function tryAccept(acceptances: Acceptance[]): CommandOutcome[] | null {
    try {
      return journal.accept(acceptances);
    } catch (error) {
      log.error("journal.unavailable", { commands: acceptances.length, error: describeError(error) });
      return null;
    }
  }

  return async (compact) => {
    const verdict = await verifyEnvelope("command", compact, {
      nowSeconds: Math.floor(nowMs() / 1_000),
      issuer: identity.edge,
      audience: identity.hostId,
      epoch: identity.epoch,
      keys,
    });
    if (!verdict.ok) {
      log.warn("command.refused", explainRefusal(verdict.refusal));
      return null;
    }
    const { claims, hash } = verdict;
    const { jti, exp, command } = claims;
    if (!heard) await withinMs(journal.verdict, options.confirmWithinMs ?? CONFIRM_WITHIN_MS);
    const outcome = await accept({ jti, hash, expSeconds: exp, atMs: nowMs(), command });
    if (command.type === "host.apply" && outcome.status === "accepted") {
      const keyset = journal.keyset();
      const imported = await importKeyset(keyset);
      // Of two that came together the older may be imported last, and would bring back a key that was retired.
      if (journal.keyset().version === keyset.version) keys = imported;
    }
    log.info("command", {
      type: command.type,
      jti,
      tenant: "tenant" in command ? command.tenant.id : undefined,
      outcome: outcome.status,
      reason: outcome.status === "refused" ? outcome.reason : undefined,
    });
    return signEnvelope(
      "result",
      {
        ...freshClaims(Math.floor(nowMs() / 1_000), random(16)),
        iss: identity.hostId,
        aud: identity.edge,
        epoch: identity.epoch,
        result: { type: "command.result", commandHash: hash, outcome },
      },
      signing,
    );
  };
}

/** For the operator's log only; the times name the side whose clock is wrong. */
function explainRefusal(refusal: Refusal): Record<string, string | number> {
  switch (refusal.reason) {
    case "expired":
      return { ...refusal, hint: `expired ${refusal.now - refusal.exp} s ago by this host's clock` };
    case "not_yet_valid":
      return { ...refusal, hint: `valid in ${refusal.nbf - refusal.now} s by this host's clock` };
    case "epoch_wrong":
      return { ...refusal, hint: "this host was enrolled again, or its identity is an old copy" };
    case "too_large":
    case "malformed":
    case "header_refused":
    case "kid_unknown":
    case "signature_invalid":
    case "claims_invalid":
    case "lifetime_invalid":
    case "issuer_wrong":
    case "audience_wrong":
      return { ...refusal };
  }
}
