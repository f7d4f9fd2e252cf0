import type { FC } from "hono/jsx";
import type { Sample } from "../tenants/types.ts";
import type { TenantView } from "./deps.ts";
import { readableMiB } from "./rules.ts";
import { barsPath, type Curve, curveOf, SPARK_BOX } from "./spark-rules.ts";
import { readableTime } from "./time.ts";
import { STORAGE_WORDS } from "./words.ts";

const spread = (range: Curve["range"], words: (value: number) => string): string => {
  if (range === null) return "Nothing yet";
  const [least, most] = [words(range.least), words(range.most)];
  return least === most ? most : `${least} to ${most}`;
};

/** How it is, and how its last day was. Numbers only: nobody sees what it says or reads. */
export const Health: FC<{ view: TenantView; samples: readonly Sample[]; nowMs: number }> = ({
  view,
  samples,
  nowMs,
}) => {
  const { limits, status, storage } = view;
  const memory = curveOf(samples, nowMs, ({ memoryMiB }) => memoryMiB, "peak");
  const cpu = curveOf(samples, nowMs, ({ cpuPercent }) => cpuPercent, "peak");
  const disk = curveOf(samples, nowMs, ({ diskMiB }) => diskMiB, "peak");
  const requests = curveOf(samples, nowMs, (sample) => sample.requests, "sum");
  const busiest = Math.max(0, ...requests.parts.map((part) => part ?? 0));
  return (
    <section aria-labelledby="health-title">
      <h2 id="health-title">How it is</h2>
      <div id="status" data-live>
        {status || samples.length > 0 ? (
          <ul class="gauges">
            <Gauge
              name="Memory"
              now={status ? readableMiB(status.memoryMiB) : null}
              bound={`of ${readableMiB(limits.memoryMiB)}`}
              curve={memory}
              full={limits.memoryMiB}
              day={spread(memory.range, readableMiB)}
            />
            <Gauge
              name="CPU"
              now={status ? `${status.cpuPercent} %` : null}
              bound={`of ${limits.cpuMillis / 10} %`}
              curve={cpu}
              full={Math.max(20, cpu.range?.most ?? 0)}
              day={spread(cpu.range, (value) => `${value} %`)}
            />
            <Gauge
              name="Storage"
              now={storage ? readableMiB(storage.usedMiB) : null}
              bound={`of ${readableMiB(storage?.limitMiB ?? limits.diskMiB)}`}
              curve={disk}
              full={storage?.limitMiB ?? limits.diskMiB}
              day={spread(disk.range, readableMiB)}
              warning={storage?.warning ? STORAGE_WORDS[storage.warning] : undefined}
            />
            <Gauge
              name="Requests"
              now={`${requests.sum}`}
              bound="in a day"
              curve={requests}
              full={busiest}
              day={`${limits.requestsPerMinute} a minute at most`}
            />
          </ul>
        ) : (
          <p class="hint">Its server looks at it every minute; the first figures are on their way.</p>
        )}
        {status ? <Facts status={status} limits={limits} /> : null}
      </div>
    </section>
  );
};

const Gauge: FC<{
  name: string;
  now: string | null;
  bound: string;
  curve: Curve;
  full: number;
  /** The day in words: also what a screen reader says of the curve. */
  day: string;
  warning?: string | undefined;
}> = ({ name, now, bound, curve, full, day, warning }) => (
  <li class="sheet gauge">
    <h3>{name}</h3>
    <p>
      <strong>{now ?? "–"}</strong> <span class="hint">{bound}</span>
    </p>
    <svg class="spark" viewBox={SPARK_BOX} preserveAspectRatio="none" role="img" aria-label={`The last day: ${day}`}>
      <path d={barsPath(curve.parts, full)} />
    </svg>
    <p class="hint">{day}</p>
    {warning ? <p class="warn">{warning}</p> : null}
  </li>
);

const Facts: FC<{ status: NonNullable<TenantView["status"]>; limits: TenantView["limits"] }> = ({ status, limits }) => (
  <>
    <dl class="limits facts">
      <dt>Health</dt>
      <dd>{status.healthy === null ? "it does not say" : status.healthy ? "well" : "not well"}</dd>
      <dt>Processes</dt>
      <dd>{`${status.pids} of ${limits.pids}`}</dd>
      {status.egressMiB === null ? null : (
        <>
          <dt>Sent out today</dt>
          <dd>{`${readableMiB(status.egressMiB)} of ${readableMiB(limits.egressMiBPerDay)}`}</dd>
        </>
      )}
      <dt>Jobs of its own</dt>
      <dd>{status.nextJobAt ? `${status.jobs}, next ${readableTime(status.nextJobAt)}` : status.jobs}</dd>
      {status.channels.map(({ name, connected }) => (
        <>
          <dt>{name}</dt>
          <dd>{connected ? "connected" : "not connected"}</dd>
        </>
      ))}
    </dl>
    <p class="hint">{`As its server saw it on ${readableTime(status.at)}. Nobody sees what it says or reads.`}</p>
  </>
);
