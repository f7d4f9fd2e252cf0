import type { FC } from "hono/jsx";

const STAGES = ["name", "runtime", "model", "telegram", "running"] as const;
type Stage = (typeof STAGES)[number];
const STAGE_WORDS: Record<Stage, string> = {
  name: "Name",
  runtime: "Runtime",
  model: "Model",
  telegram: "Telegram",
  running: "Running",
};

/** Where one stands. `links` leads back to what can still be changed. */
export const Stages: FC<{ at: Stage; links?: Partial<Record<Stage, string>>; skipped?: readonly Stage[] }> = ({
  at,
  links = {},
  skipped = [],
}) => (
  <ol class="stages" aria-label="Setup">
    {STAGES.filter((stage) => !skipped.includes(stage)).map((stage) => {
      const isBehind = STAGES.indexOf(stage) < STAGES.indexOf(at);
      const link = isBehind ? links[stage] : undefined;
      return (
        <li class={isBehind ? "behind" : undefined} aria-current={stage === at ? "step" : undefined}>
          {link ? <a href={link}>{STAGE_WORDS[stage]}</a> : STAGE_WORDS[stage]}
          {isBehind ? <span class="sr">, done</span> : null}
        </li>
      );
    })}
  </ol>
);
