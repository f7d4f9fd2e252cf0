import type { FC } from "hono/jsx";
import type { PostureView, Sample } from "../tenants/types.ts";
import { State } from "./agents.tsx";
import type { Problem, TenantEvent, TenantView } from "./deps.ts";
import { Alert, Field } from "./forms.tsx";
import { FortOf } from "./fort.tsx";
import { Health } from "./health.tsx";
import { Walls } from "./posture.tsx";
import { PROBLEM_WORDS } from "./problem-words.ts";
import { actionsFor, fortOf, isMilestone, isMoving, readableMiB, storyOf } from "./rules.ts";
import { Story } from "./story.tsx";
import { Tabs } from "./tabs.tsx";
import { readableTime } from "./time.ts";
import { ACTION_WORDS, eventWords, RUNTIME_WORDS, STATE_WORDS } from "./words.ts";

const RECENT_EVENTS = 20;

export interface AgentProps {
  view: TenantView;
  events: readonly TenantEvent[];
  /** What its server last found when it attacked its own walls; null before the first time. */
  posture: PostureView | null;
  samples: readonly Sample[];
  nowMs: number;
  /** What the last press of a button ran into. */
  problem?: Problem;
  /** What was typed to confirm the deletion, when it was not the name. */
  confirm?: string;
}

/** Parts marked `data-live` are refreshed by the script while the agent's event stream is open. */
export const Agent: FC<AgentProps> = ({ view, events, posture, samples, nowMs, problem, confirm }) => {
  const story = storyOf(view, events);
  const words = STATE_WORDS[view.state];
  return (
    <article
      data-page={`/agents/${view.id}`}
      data-stream={`/api/v1/tenants/${view.id}/events?after=${events.at(-1)?.id ?? 0}`}
      data-gone="/agents"
    >
      <Tabs id={view.id} name={view.name} at="overview" />
      <div class="head" id="head" data-live>
        <div>
          <h1>{view.name}</h1>
          <p class="hint">{`${RUNTIME_WORDS[view.runtime].name} · ${view.hostname}`}</p>
        </div>
        <State state={view.state} />
      </div>
      {problem ? (
        <Alert title={PROBLEM_WORDS[problem.code].title}>
          <p>{problem.detail ?? PROBLEM_WORDS[problem.code].advice}</p>
        </Alert>
      ) : null}
      <div class="agent">
        <div class="agent-main">
          <section class="sheet" aria-labelledby="now">
            <h2 id="now" class="sr">
              What is happening
            </h2>
            <p class="sentence" id="sentence" role="status" data-live>
              {view.failure && view.state === "failed" ? `${words.sentence} ${view.failure}` : words.sentence}
              {view.held ? ` ${PROBLEM_WORDS.payment_required.title}.` : null}
            </p>
            <Actions view={view} />
            <Story story={story} moving={isMoving(view.state)} />
            {isMoving(view.state) ? (
              <noscript>
                <p>
                  <a href={`/agents/${view.id}`}>Look again</a>
                </p>
              </noscript>
            ) : null}
          </section>
          <Health view={view} samples={samples} nowMs={nowMs} />
          <Events events={events} />
          {actionsFor(view.state).length > 0 ? <Danger view={view} confirm={confirm} /> : null}
        </div>
        <aside class="agent-side" aria-labelledby="layers">
          <h2 id="layers">Its five walls</h2>
          <div id="drawing" data-live>
            <FortOf fort={fortOf(view, story)} label={`The walls around ${view.name}: ${words.label}`} />
          </div>
          <Walls id={view.id} posture={posture} />
          <Limits view={view} />
          <Software view={view} />
        </aside>
      </div>
    </article>
  );
};

const Actions: FC<{ view: TenantView }> = ({ view }) => (
  <div class="row" id="actions" data-live>
    {view.state === "running" || view.state === "asleep" ? (
      <a class="button" href={view.url}>
        Open {view.name}
      </a>
    ) : null}
    {view.held ? (
      <a class="button" href="/billing">
        See billing
      </a>
    ) : null}
    {view.undoUntil ? (
      <form method="post" action={`/agents/${view.id}/undelete`}>
        <button type="submit">{ACTION_WORDS.undelete}</button>
        <span class="hint">{` Possible until ${readableTime(view.undoUntil)}.`}</span>
      </form>
    ) : null}
    {(view.held ? [] : actionsFor(view.state)).map((action, index) => (
      <form method="post" action={`/agents/${view.id}/${action}`}>
        <button type="submit" class={index === 0 && action === "start" ? undefined : "quiet"}>
          {view.state === "failed" && action === "restart" ? "Try again" : ACTION_WORDS[action]}
        </button>
      </form>
    ))}
  </div>
);

const Events: FC<{ events: readonly TenantEvent[] }> = ({ events }) => (
  <section aria-labelledby="events-title">
    <h2 id="events-title">Recent events</h2>
    <div id="events" data-live>
      {events.length === 0 ? <p class="hint">Nothing has happened yet.</p> : null}
      <ol class="events">
        {events
          .filter(isMilestone)
          .slice(-RECENT_EVENTS)
          .reverse()
          .map((event) => (
            <li class={event.status}>
              <time datetime={event.at}>{readableTime(event.at)}</time>
              <span>
                {eventWords(event.step, event.status)}
                {event.detail ? <span class="hint">{event.detail}</span> : null}
              </span>
            </li>
          ))}
      </ol>
    </div>
  </section>
);

const Limits: FC<{ view: TenantView }> = ({ view: { limits } }) => (
  <>
    <h2>Its bounds</h2>
    <dl class="limits">
      <dt>Memory</dt>
      <dd>{readableMiB(limits.memoryMiB)}</dd>
      <dt>CPU</dt>
      <dd>{limits.cpuMillis / 1000} cores</dd>
      <dt>Processes</dt>
      <dd>{limits.pids}</dd>
      <dt>Storage</dt>
      <dd>{readableMiB(limits.diskMiB)}</dd>
      <dt>Requests</dt>
      <dd>
        {limits.requestsPerMinute} a minute, {limits.openConnections} at a time
      </dd>
    </dl>
  </>
);

const Software: FC<{ view: TenantView }> = ({ view: { id, runs, runtime, state } }) => (
  <>
    <h2>Its software</h2>
    <div id="software" data-live>
      {runs ? (
        <>
          <dl class="limits">
            <dt>Runs from</dt>
            <dd>
              <code>{runs.running ?? "nothing yet"}</code>
            </dd>
            {runs.image !== runs.running ? (
              <>
                <dt>On its way</dt>
                <dd>
                  <code>{runs.image ?? "what its server makes"}</code>
                </dd>
              </>
            ) : null}
          </dl>
          {runs.refused ? (
            <p class="warn">The newer one did not become ready, so the one before it runs again. Nothing was lost.</p>
          ) : null}
        </>
      ) : (
        <p class="hint">{`${RUNTIME_WORDS[runtime].name}, as its server made it from a pinned version.`}</p>
      )}
      {actionsFor(state).length > 0 ? (
        <form method="post" action={`/agents/${id}/upgrade`}>
          <button type="submit" class="quiet small">
            Upgrade
          </button>
          <p class="hint">It starts again. If the newer one does not become ready, the one before comes back.</p>
        </form>
      ) : null}
    </div>
  </>
);

const Danger: FC<{ view: TenantView; confirm: string | undefined }> = ({ view, confirm }) => (
  <details class="danger" open={confirm !== undefined}>
    <summary>Delete this agent</summary>
    <form method="post" action={`/agents/${view.id}/delete`}>
      <p>Its cell, its network and all its files are destroyed. This cannot be undone.</p>
      <Field
        name="confirm"
        label={`Type its name, ${view.name}, to confirm`}
        value={confirm}
        error={confirm === undefined ? undefined : `This is not its name. Type ${view.name} exactly.`}
        input={{ required: true, autocomplete: "off", autocapitalize: "none", spellcheck: "false" }}
      />
      <button type="submit" class="bad">
        Delete for good
      </button>
    </form>
  </details>
);
