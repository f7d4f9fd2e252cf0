import type { FC } from "hono/jsx";
import type { StorageView } from "../data/index.ts";
import type { Problem, TenantView } from "./deps.ts";
import { Alert } from "./forms.tsx";
import { PROBLEM_WORDS } from "./problem-words.ts";
import { readableMiB } from "./rules.ts";
import { Tabs } from "./tabs.tsx";
import { readableTime } from "./time.ts";
import { STORAGE_WORDS } from "./words.ts";

export interface DataProps {
  view: TenantView;
  /** Null before its server has said anything about it. */
  storage: StorageView | null;
  /** What was just asked for. */
  asked?: "backup" | "restore" | undefined;
  problem?: Problem | undefined;
}

const mib = (bytes: number) => readableMiB(Math.ceil(bytes / 2 ** 20));
const ASKED = {
  backup: "The copy is being made. It stands here when it has been read back.",
  restore: "It goes on until all of that is there again and has been verified; then it starts with what it had.",
};

/** What an agent has stored, and the ways back to what it had. */
export const DataPage: FC<DataProps> = ({ view, storage, asked, problem }) => (
  <article>
    <Tabs id={view.id} name={view.name} at="data" />
    <h1>Its data</h1>
    <p class="lead">
      Encrypted with a key of its own, under a hard limit. Deleting the agent destroys that key first, so whatever copy
      was left anywhere says nothing to anybody.
    </p>
    {problem ? (
      <Alert title={PROBLEM_WORDS[problem.code].title}>
        <p>{problem.detail ?? PROBLEM_WORDS[problem.code].advice}</p>
      </Alert>
    ) : null}
    {asked ? <p class="notice">{ASKED[asked]}</p> : null}
    {storage ? <Stored view={view} storage={storage} /> : <p class="hint">Its server has not said anything yet.</p>}
  </article>
);

const Stored: FC<{ view: TenantView; storage: StorageView }> = ({ view, storage }) => {
  const { usedBytes, limitBytes, warning, strays, snapshots, backup, restored, move, moveDownMs } = storage;
  return (
    <>
      <section class="sheet" aria-labelledby="room">
        <h2 id="room">Room</h2>
        <p class="figure-line">
          <strong>{mib(usedBytes)}</strong> <span class="hint">{`of ${mib(limitBytes)}`}</span>
        </p>
        <progress aria-label="Storage in use" max="1" value={Math.min(1, usedBytes / limitBytes).toFixed(3)} />
        {warning ? <p class="warn">{STORAGE_WORDS[warning]}</p> : null}
        {strays > 0 ? (
          <p class="warn">{`${strays} files were found that are not its own, or open to others.`}</p>
        ) : null}
        {move ? <p>It is on its way to another server.</p> : null}
        {moveDownMs === null ? null : (
          <p class="hint">{`Its last move to another server took it away for ${Math.ceil(moveDownMs / 1000)} s.`}</p>
        )}
      </section>
      <section class="sheet" aria-labelledby="snapshots">
        <h2 id="snapshots">Snapshots</h2>
        <p>
          Every six hours, as many as your plan keeps. Going back to one starts the agent with what it had then, and
          what it wrote since is lost.
        </p>
        {restored ? (
          <p class="hint">
            {restored.ok
              ? `Last went back to ${whenOf(restored.from)}, on ${readableTime(restored.at)}, within ${Math.ceil(restored.tookMs / 1000)} s.`
              : `Going back to ${whenOf(restored.from)} did not work on ${readableTime(restored.at)}. Nothing was changed.`}
          </p>
        ) : null}
        <ul class="entries">
          {snapshots.toReversed().map((name) => (
            <Way id={view.id} from={name} label={whenOf(name)} />
          ))}
        </ul>
        {snapshots.length === 0 ? <p class="hint">There is none yet.</p> : null}
      </section>
      <section class="sheet" aria-labelledby="files">
        <h2 id="files">Its files</h2>
        <p>All of them in one archive, as they are in a snapshot made for it. They are yours to take elsewhere.</p>
        <p>
          <a class="button quiet" href={`/api/v1/tenants/${view.id}/files`} download={`${view.name}.tar`}>
            Download its files
          </a>
        </p>
      </section>
      <section class="sheet" aria-labelledby="copy">
        <h2 id="copy">Copy in object storage</h2>
        <p>Every day, encrypted before it leaves the server, and read back to be sure.</p>
        {backup ? (
          <ul class="entries">
            <Way
              id={view.id}
              from="backup"
              label={readableTime(backup.at)}
              hint={`${mib(backup.bytes)}, ${backup.verifiedAt ? `read back on ${readableTime(backup.verifiedAt)}` : "not read back yet"}`}
            />
          </ul>
        ) : (
          <p class="hint">There is none yet, or its server has no bucket for copies.</p>
        )}
        <form method="post" action={`/agents/${view.id}/data/backup`}>
          <button type="submit" class="quiet">
            Make a copy now
          </button>
        </form>
      </section>
    </>
  );
};

const Way: FC<{ id: string; from: string; label: string; hint?: string }> = ({ id, from, label, hint }) => (
  <li>
    <div>
      <p>{label}</p>
      {hint ? <p class="hint">{hint}</p> : null}
    </div>
    <details class="way-back">
      <summary>Go back to this</summary>
      <form method="post" action={`/agents/${id}/data/restore`}>
        <p class="hint">What it wrote since then is lost.</p>
        <input type="hidden" name="from" value={from} />
        <button type="submit" class="small bad" aria-label={`Go back to ${label}`}>
          Go back
        </button>
      </form>
    </details>
  </li>
);

/** The name of a snapshot is its time: `20261122T090211Z`. */
export function whenOf(name: string): string {
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)/.exec(name) ?? [];
  return year
    ? readableTime(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
    : name === "backup"
      ? "the copy"
      : name;
}
