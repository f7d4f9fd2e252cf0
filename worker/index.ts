import { createEdge, type Edge } from "./edge.ts";
import { parseEnv } from "./env.ts";

type Bindings = Readonly<Record<string, unknown>>;

/** Bindings never change within an isolate, so they are parsed once. */
let made: { bindings: Bindings; edge: Edge } | undefined;

function edgeOf(bindings: Bindings): Edge {
  if (made?.bindings !== bindings) made = { bindings, edge: createEdge(parseEnv(bindings)) };
  return made.edge;
}

export default {
  fetch(request: Request, bindings: Bindings, context: ExecutionContext) {
    return edgeOf(bindings).app.fetch(request, bindings, context);
  },
  /** Each minute: what is due in the outbox, then the full pass, then what has run out. */
  async scheduled(_event: ScheduledController, bindings: Bindings) {
    await edgeOf(bindings).tick();
  },
};
