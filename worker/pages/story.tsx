import type { FC } from "hono/jsx";
import type { StepName } from "../../schema/protocol/index.ts";
import { progressOf, type StoryLine } from "./rules.ts";
import { eventWords, STEP_WORDS } from "./words.ts";

const STATUS = { waiting: "started", doing: "progress", done: "done", failed: "failed" } as const;
const SPOKEN = { waiting: "still to come", doing: "now", done: "done", failed: "failed" } as const;

/** The host's steps in plain words, with real progress: nothing here moves unless the host said so. */
export const Story: FC<{ story: readonly StoryLine[]; moving: boolean }> = ({ story, moving }) => (
  <div id="story" data-live>
    {moving ? (
      <>
        <progress class="total" aria-label="Progress" max="1" value={progressOf(story).toFixed(3)} />
        <Steps story={story} />
      </>
    ) : story.length > 0 ? (
      <details open={story.some((line) => line.state === "failed")}>
        <summary>How it got here, in {story.length} steps</summary>
        <Steps story={story} />
      </details>
    ) : null}
  </div>
);

const Steps: FC<{ story: readonly StoryLine[] }> = ({ story }) => (
  <ol class="story">
    {story.map((line) => (
      <li class={line.state}>
        <span class="step">
          {eventWords(line.step, STATUS[line.state])}
          <span class="sr">{`, ${SPOKEN[line.state]}`}</span>
        </span>
        {line.tookMs === null ? null : <span class="took">{readableMs(line.tookMs)}</span>}
        {line.state === "doing" || line.state === "failed" ? <Explanation line={line} /> : null}
      </li>
    ))}
  </ol>
);

const Explanation: FC<{ line: StoryLine }> = ({ line }) => {
  const why = Object.hasOwn(STEP_WORDS, line.step) ? STEP_WORDS[line.step as StepName].why : null;
  return (
    <span class="why">
      {line.detail ?? why}
      {line.fraction === null ? null : <progress aria-label="This step" max="1" value={line.fraction.toFixed(3)} />}
    </span>
  );
};

export const readableMs = (ms: number): string =>
  ms < 1 ? "under 1 ms" : ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
