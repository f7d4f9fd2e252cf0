import { createEdge, type Edge } from "./edge.ts";
import { parseEnv } from "./env.ts";
import { describeError } from "./http.ts";
import { problem, problemResponse } from "./problem.ts";

type Bindings = Readonly<Record<string, unknown>>;

/** Bindings never change within an isolate, so they are parsed once. */
let made: { bindings: Bindings; edge: Edge } | undefined;

function edgeOf(bindings: Bindings): Edge {
  if (made?.bindings !== bindings) made = { bindings, edge: createEdge(parseEnv(bindings)) };
  return made.edge;
}

export default {
  fetch(request: Request, bindings: Bindings, context: ExecutionContext): Response | Promise<Response> {
    let edge: Edge;
    try {
      edge = edgeOf(bindings);
    } catch (error) {
      // Which binding is wrong is for the operator's log; the world learns nothing about our configuration.
      console.error(JSON.stringify({ event: "misconfigured", error: describeError(error) }));
      return problemResponse(problem("internal"));
    }
    return edge.app.fetch(request, bindings, context);
  },
  /** Each minute: what is due in the outbox, then the full pass, then what has run out. */
  async scheduled(_event: ScheduledController, bindings: Bindings) {
    await edgeOf(bindings).tick();
  },
};
