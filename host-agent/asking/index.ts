import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type AgentQuestion, ASK_PATH, agentQuestion, MAX_ANSWER_CHARACTERS } from "../../schema/protocol/index.ts";
import { readBody } from "../body.ts";
import { createTurns, type Turns } from "./turns.ts";

export interface AskingOptions {
  /** The agent's own socket, on which Caddy finds us. */
  socketPath: string;
  /** One turn of the agent, however long: what it says, or null. `key`: the same for what may have been asked before. */
  ask(tenantId: string, question: AgentQuestion, key: string): Promise<string | null>;
  /** An answer is there, and nobody waits for it: the edge is to come. */
  onAnswer(tenantId: string): void;
  /** Monotonic, in milliseconds. */
  now?: () => number;
}

export interface Asking {
  /** For one delivery to this agent, let in by the gate: where Caddy brings it, and the pass that it shows there. */
  admit(tenantId: string): { upstream: string; pass: string };
  /** False: the request is none of ours. */
  handle(request: IncomingMessage, response: ServerResponse): boolean;
}

const PASS_LIFETIME_MS = 10_000;
const MAX_QUESTION_BYTES = 64 * 1024;

/**
 * Asks an agent for the edge. A turn takes minutes and a Worker has seconds, so the line to the runtime is held here: the
 * edge asks, hears "not yet", and comes again when it is told that there is an answer. The same question is asked once,
 * however often the edge comes; only a host that has died since asks it anew. The runtime's own key stays on this host.
 */
export function createAsking({ socketPath, ask, onAnswer, now = () => performance.now() }: AskingOptions): Asking {
  const passes = new Map<string, { tenantId: string; until: number }>();
  const turns = createTurns({ ask, onAnswer, now });

  return {
    admit(tenantId) {
      for (const [pass, { until }] of passes) if (until < now()) passes.delete(pass);
      const pass = randomBytes(32).toString("base64url");
      passes.set(pass, { tenantId, until: now() + PASS_LIFETIME_MS });
      return { upstream: `unix/${socketPath}`, pass };
    },

    handle(request, response) {
      if (request.url !== ASK_PATH || request.method !== "POST") return false;
      const pass = request.headers["x-chelar-stream"]?.toString() ?? "";
      const held = passes.get(pass);
      // Once, and at once: a pass is no address that somebody could come back to.
      passes.delete(pass);
      if (!held || held.until < now()) say(response, 403);
      else void answer(held.tenantId, request, response, turns).catch(() => response.destroy());
      return true;
    },
  };
}

async function answer(tenantId: string, request: IncomingMessage, response: ServerResponse, turns: Turns) {
  const question = agentQuestion.safeParse(await readJson(request));
  if (!question.success) return say(response, 400);
  const outcome = await turns.take(tenantId, question.data);
  switch (outcome.kind) {
    case "answered":
      // Whole characters: half of one is no text.
      return say(response, 200, { answer: outcome.text?.slice(0, MAX_ANSWER_CHARACTERS).toWellFormed() ?? null });
    case "thinking":
      return say(response, 202, {});
    case "failed":
      return say(response, 502);
    case "too_many":
      return say(response, 429);
  }
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const body = await readBody(request, MAX_QUESTION_BYTES);
  try {
    return JSON.parse(Buffer.from(body ?? "", "latin1").toString("utf8"));
  } catch {
    return null;
  }
}

function say(response: ServerResponse, status: number, body?: object): void {
  const text = body === undefined ? "" : JSON.stringify(body);
  response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" }).end(text);
}
