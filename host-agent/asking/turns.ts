import type { AgentQuestion } from "../../schema/protocol/index.ts";

export type TurnOutcome =
  | { kind: "answered"; text: string | null }
  | { kind: "thinking" }
  | { kind: "failed" }
  | { kind: "too_many" };

export interface Turns {
  /** Begins the turn, or joins it, and waits for its answer as long as the question says. */
  take(tenantId: string, question: AgentQuestion): Promise<TurnOutcome>;
}

interface Turn {
  tenantId: string;
  /** Of attempts that ended without an answer. */
  failures: number;
  outcome: Promise<TurnOutcome>;
  state: "open" | "answered" | "failed";
  endedAt: number;
  waiting: number;
}

/** Of one agent at a time: more would be a crowd that its owner does not see. */
const MAX_AT_A_TIME = 8;
/** An answer that the edge has not fetched by then is asked for again. */
const KEPT_MS = 15 * 60_000;
/** Of all agents on this host; the oldest go first. At most some ten megabytes. */
const MAX_KEPT = 300;

export function createTurns({
  ask,
  onAnswer,
  now,
}: {
  ask(tenantId: string, question: AgentQuestion, key: string): Promise<string | null>;
  onAnswer(tenantId: string): void;
  now: () => number;
}): Turns {
  const turns = new Map<string, Turn>();

  function forget(): void {
    const ended = [...turns].filter(([, { state }]) => state !== "open");
    const old = ended.filter(([, { endedAt }]) => now() - endedAt > KEPT_MS);
    for (const [id] of [...old, ...ended.slice(0, Math.max(0, ended.length - MAX_KEPT))]) turns.delete(id);
  }

  function begin(tenantId: string, question: AgentQuestion, failures: number): Turn {
    const nothingYet = Promise.resolve<TurnOutcome>({ kind: "thinking" });
    const turn: Turn = { tenantId, failures, state: "open", endedAt: 0, waiting: 0, outcome: nothingYet };
    const end = (state: "answered" | "failed") => Object.assign(turn, { state, endedAt: now() });
    // A new key for each attempt that is known to have ended: a runtime that remembers keys would call it done.
    turn.outcome = ask(tenantId, question, `${question.id}-${failures}`).then(
      (text): TurnOutcome => {
        end("answered");
        if (turn.waiting === 0) onAnswer(tenantId);
        return { kind: "answered", text };
      },
      (): TurnOutcome => {
        end("failed");
        turn.failures += 1;
        return { kind: "failed" };
      },
    );
    return turn;
  }

  return {
    async take(tenantId, question) {
      forget();
      const id = `${tenantId} ${question.id}`;
      let turn = turns.get(id);
      if (turn === undefined || turn.state === "failed") {
        const open = [...turns.values()].filter((one) => one.tenantId === tenantId && one.state === "open");
        if (open.length >= MAX_AT_A_TIME) return { kind: "too_many" };
        turn = begin(tenantId, question, turn?.failures ?? 0);
        turns.set(id, turn);
      }
      turn.waiting += 1;
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<TurnOutcome>((resolve) => {
        timer = setTimeout(() => resolve({ kind: "thinking" }), question.waitMs);
      });
      try {
        return await Promise.race([turn.outcome, late]);
      } finally {
        clearTimeout(timer);
        turn.waiting -= 1;
      }
    },
  };
}
