import type { Child, FC } from "hono/jsx";
import type { TenantEvent, TenantView } from "./deps.ts";
import { isMoving, storyOf } from "./rules.ts";
import { Stages } from "./stages.tsx";
import { Story } from "./story.tsx";
import { STATE_WORDS } from "./words.ts";

export interface SetupProps {
  view: TenantView;
  events: readonly TenantEvent[];
  /** What the model provider said about the key. */
  verdict: string | null;
  /** How it is reached over Telegram; null where its runtime has no place for that, or it is settled. */
  telegram?: Child;
  /** Telegram is done with. */
  settled: boolean;
}

/** The end of the setup: the walls go up while its owner connects Telegram, and then it runs. */
export const Setup: FC<SetupProps> = ({ view, events, verdict, telegram = null, settled }) => {
  const moving = isMoving(view.state);
  const isUp = view.state === "running" || view.state === "asleep";
  return (
    <article
      class="narrow"
      data-page={`/agents/${view.id}/setup`}
      data-stream={`/api/v1/tenants/${view.id}/events?after=${events.at(-1)?.id ?? 0}`}
      data-gone="/agents"
    >
      <Stages at={telegram && !settled ? "telegram" : "running"} skipped={telegram ? [] : ["telegram"]} />
      <h1>{view.name}</h1>
      {verdict ? <p class="lead">{verdict}</p> : null}
      {telegram}
      <section class="sheet" aria-labelledby="now">
        <h2 id="now">{telegram ? "And meanwhile" : "Its walls go up"}</h2>
        <p class="sentence" id="sentence" role="status" data-live>
          {view.state === "failed" && view.failure
            ? `${STATE_WORDS.failed.sentence} ${view.failure}`
            : STATE_WORDS[view.state].sentence}
        </p>
        <div class="row" id="actions" data-live>
          {isUp ? (
            <a class="button" href={view.url}>
              Open {view.name}
            </a>
          ) : null}
          {view.state === "failed" ? (
            <form method="post" action={`/agents/${view.id}/restart`}>
              <button type="submit">Try again</button>
            </form>
          ) : null}
          <a class="button quiet" href={`/agents/${view.id}`}>
            {isUp ? "Everything about it" : "To its page"}
          </a>
        </div>
        <Story story={storyOf(view, events)} moving={moving} />
        {moving ? (
          <noscript>
            <p>
              <a href={`/agents/${view.id}/setup`}>Look again</a>
            </p>
          </noscript>
        ) : null}
      </section>
    </article>
  );
};
