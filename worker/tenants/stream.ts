import type { Context } from "hono";
import { streamSSE } from "hono/streaming";
import type { Person } from "../accounts/index.ts";
import { problemResponse } from "../problem.ts";
import type { News } from "./news.ts";
import type { FullTenantService } from "./service.ts";

const EAGER_FOR_MS = 10_000;
const EAGER_MS = 250;
/** How soon a hint of this isolate is noticed; costs a timer, not a query. */
const HINT_MS = 10;
const CALM_MS = 1_000;
/** Only a write finds out that the reader has left; without one the polling would go on for nobody. */
const HEARTBEAT_MS = 1_000;
/** A session that ended must not go on watching. */
const RECHECK_SESSION_MS = 5_000;
/** The browser comes back with Last-Event-ID; nothing is lost by letting go. */
const END_AFTER_MS = 15 * 60_000;

/**
 * The story of one agent as server-sent events: `step` with the event's id, so that a reconnecting client resumes
 * exactly, and `state` whenever the agent as a whole looks different. Polls the database, since a Worker has no
 * memory that another Worker could write to: often while much happens, then calmly.
 */
export async function streamTenant(
  c: Context,
  {
    service,
    person,
    id,
    stillSignedIn,
    news,
  }: {
    service: Pick<FullTenantService, "follow">;
    person: Person;
    id: string;
    stillSignedIn: () => Promise<boolean>;
    news: Pick<News, "count">;
  },
): Promise<Response> {
  let after = Number(/^\d{1,15}$/.exec(c.req.header("last-event-id") ?? c.req.query("after") ?? "")?.[0] ?? 0);
  const first = await service.follow(person, id, after);
  if (!first.ok) return problemResponse(first.problem);

  return streamSSE(c, async (stream) => {
    const startedAt = Date.now();
    let lastChangeAt = startedAt;
    let lastWriteAt = startedAt;
    let lastCheckAt = startedAt;
    let lastState = "";
    let heard = news.count(id);
    let seen = first.value;
    const write = async (message: Parameters<typeof stream.writeSSE>[0]) => {
      lastWriteAt = Date.now();
      await stream.writeSSE(message);
    };

    while (!stream.aborted) {
      for (const event of seen.events) {
        after = event.id;
        lastChangeAt = Date.now();
        await write({ event: "step", id: String(event.id), data: JSON.stringify(event) });
      }
      const state = JSON.stringify(seen.view);
      if (state !== lastState) {
        lastState = state;
        lastChangeAt = Date.now();
        await write({ event: "state", data: state });
      }
      const now = Date.now();
      if (seen.view.state === "deleted" || now - startedAt > END_AFTER_MS) return;
      if (now - lastWriteAt >= HEARTBEAT_MS) {
        lastWriteAt = now;
        await stream.write(": still here\n\n");
      }
      if (now - lastCheckAt > RECHECK_SESSION_MS) {
        lastCheckAt = now;
        if (!(await stillSignedIn())) return;
      }
      const nextLookAt = now + (now - lastChangeAt < EAGER_FOR_MS ? EAGER_MS : CALM_MS);
      while (Date.now() < nextLookAt && news.count(id) === heard) await stream.sleep(HINT_MS);
      heard = news.count(id);
      const next = await service.follow(person, id, after);
      // Purged meanwhile: the page learns it by asking once more.
      if (!next.ok) return write({ event: "gone", data: JSON.stringify(next.problem) });
      seen = next.value;
    }
  });
}
