import { type Context, Hono } from "hono";
import type { FC } from "hono/jsx";
import type { Status as StatusRoom, StatusView } from "../status/index.ts";
import { page } from "./layout.tsx";
import { readableTime } from "./time.ts";

type Component = StatusView["components"][number];
type Level = StatusView["level"];

const OVERALL: Record<Level, string> = {
  good: "Everything works",
  poor: "Something is not as it should be",
  bad: "Something is down",
};
const NOW: Record<Level, string> = { good: "Works", poor: "Partly disrupted", bad: "Down" };
const WAS: Record<Exclude<Level, "good">, string> = { poor: "partly disrupted", bad: "down" };
const SHADES = ["good", "poor", "bad", "none"] as const;

/** Ninety bars in four paths, whatever the days were like. */
const Days: FC<{ component: Component }> = ({ component: { name, days } }) => {
  const path = (shade: (typeof SHADES)[number]) =>
    days.flatMap(({ level }, x) => ((level ?? "none") === shade ? [`M${x} 0h.7v12h-.7z`] : [])).join("");
  const troubled = days.filter(({ level }) => level === "poor" || level === "bad").length;
  const label = `${name}, the last ${days.length} days: ${troubled === 0 ? "no day" : troubled} with trouble`;
  return (
    <svg class="days" viewBox={`0 0 ${days.length} 12`} preserveAspectRatio="none" role="img" aria-label={label}>
      {SHADES.map((shade) => (
        <path class={shade} d={path(shade)} />
      ))}
    </svg>
  );
};

const Part: FC<{ component: Component }> = ({ component }) => (
  <li>
    <div class="part">
      <strong>{component.name}</strong>
      <span class={`state ${component.level ?? "calm"}`}>
        {component.level ? NOW[component.level] : "Not watched now"}
      </span>
    </div>
    {component.days.length > 0 ? <Days component={component} /> : null}
    <p class="hint part">
      <span>90 days ago</span>
      <span>{component.uptimePercent === null ? "not watched yet" : `${component.uptimePercent} % there`}</span>
      <span>today</span>
    </p>
  </li>
);

const minutes = (from: string, to: string) => {
  const count = Math.max(1, Math.round((Date.parse(to) - Date.parse(from)) / 60_000));
  return count === 1 ? "1 minute" : count < 120 ? `${count} minutes` : `${Math.round(count / 60)} hours`;
};

const StatusPage: FC<{ view: StatusView }> = ({ view: { at, level, components, incidents } }) => (
  <article class="middle">
    <h1>Status</h1>
    <div class={`verdict-card ${level}`}>
      <h2>{OVERALL[level]}</h2>
      <p class="hint">
        As of <time datetime={at}>{readableTime(at)}</time>, looked at each minute
      </p>
    </div>
    <ul class="parts">
      {components.map((component) => (
        <Part component={component} />
      ))}
    </ul>
    <section>
      <h2>What happened</h2>
      {incidents.length === 0 ? <p>Nothing in the last 90 days.</p> : null}
      <ul class="sheet entries" hidden={incidents.length === 0}>
        {incidents.map(({ component, level: was, startedAt, endedAt }) => (
          <li>
            <div>
              <strong>{component}</strong>
              <p>
                {`${endedAt ? "Was" : "Is"} ${WAS[was]} ${endedAt ? "for" : "since"} `}
                {endedAt ? minutes(startedAt, endedAt) : <time datetime={startedAt}>{readableTime(startedAt)}</time>}
              </p>
            </div>
            {endedAt ? (
              <time class="hint" datetime={startedAt}>
                {readableTime(startedAt)}
              </time>
            ) : null}
          </li>
        ))}
      </ul>
    </section>
    <p class="hint">
      The same for programs: <a href="/status.json">status.json</a>. Each agent's own page says how that agent is.
    </p>
  </article>
);

/** The same for everybody, signed in or not, so that any cache may keep it. */
export function statusPages(status: Pick<StatusRoom, "read">): Hono {
  const app = new Hono();
  app.get("/status", async (c: Context) =>
    page(c, {
      title: "Status",
      person: null,
      description: "How Chelar is now, and how it was in the last 90 days.",
      children: <StatusPage view={await status.read()} />,
    }),
  );
  app.get("/status.json", async (c) => c.json(await status.read(), 200, { "cache-control": "public, max-age=60" }));
  return app;
}
