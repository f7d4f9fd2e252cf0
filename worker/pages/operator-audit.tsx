import type { FC } from "hono/jsx";
import type { AuditSearch } from "../operator/rules.ts";
import type { AuditEntry, Sweep } from "../operator/types.ts";
import { OperatorNav } from "./operator.tsx";
import { Time } from "./operator-hosts.tsx";

export interface AuditProps {
  search: AuditSearch;
  entries: readonly AuditEntry[];
  /** Id below which the next page begins; null on the last. */
  next: number | null;
}

const queryOf = (search: AuditSearch, more: Record<string, string> = {}): string => {
  const given = Object.entries({ ...search, ...more }).filter((pair): pair is [string, string] => Boolean(pair[1]));
  return new URLSearchParams(given).toString();
};

const Search: FC<{ name: string; label: string; value?: string; type?: "search" | "date"; hint?: string }> = (
  props,
) => {
  const { name, label, value, type = "search", hint } = props;
  return (
    <div class="field">
      <label for={name}>{label}</label>
      <input id={name} name={name} type={type} value={value} placeholder={hint} autocomplete="off" />
    </div>
  );
};

/** Who did what to what: a search that is an address, so that it can be kept and sent. */
export const Audit: FC<AuditProps> = ({ search, entries, next }) => (
  <article>
    <OperatorNav at="/operator/audit" />
    <h1>Audit</h1>
    <search>
      <form method="get" action="/operator/audit" class="sheet search">
        <Search name="who" label="Who" value={search.who} hint="address, id, operator" />
        <Search name="what" label="What" value={search.what} hint="tenant, secret.read" />
        <Search name="about" label="About" value={search.about} hint="address or id" />
        <Search name="since" label="From" value={search.since} type="date" />
        <Search name="until" label="To" value={search.until} type="date" />
        <div class="row">
          <button type="submit" class="small">
            Search
          </button>
          <a href={`/operator/audit/export?${queryOf(search, { format: "csv" })}`}>Save as CSV</a>
          <a href={`/operator/audit/export?${queryOf(search, { format: "json" })}`}>as JSON</a>
        </div>
      </form>
    </search>
    {entries.length === 0 ? (
      <p>Nothing matches.</p>
    ) : (
      <div class="scroll">
        <table class="plain">
          <thead>
            <tr>
              <th scope="col">When</th>
              <th scope="col">Who</th>
              <th scope="col">What</th>
              <th scope="col">About</th>
              <th scope="col">More</th>
            </tr>
          </thead>
          <tbody>
            {entries.map(({ at, actor, action, subject, detail }) => (
              <tr>
                <td>
                  <Time at={at} />
                </td>
                <td>
                  <a href={`/operator/audit?${queryOf({ ...NOTHING, who: actor })}`}>{actor}</a>
                </td>
                <td>{action}</td>
                <td>
                  <a href={`/operator/audit?${queryOf({ ...NOTHING, about: subject })}`}>{subject}</a>
                </td>
                <td class="evidence">{detail}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    )}
    {next === null ? null : (
      <p>
        <a class="button quiet small" href={`/operator/audit?${queryOf(search, { below: String(next) })}`}>
          Older
        </a>
      </p>
    )}
  </article>
);

const NOTHING: AuditSearch = { who: "", what: "", about: "", since: undefined, until: undefined };

/** Each run of the reaper: that it looked and found nothing is the news on most days. */
export const Sweeps: FC<{ sweeps: readonly Sweep[] }> = ({ sweeps }) => (
  <article>
    <OperatorNav at="/operator/sweeps" />
    <h1>Sweeps</h1>
    <p class="lead">
      Once a day we look for what belongs to nobody: on servers, in object storage, in the database. It is removed when
      it was there at every sweep of a week.
    </p>
    {sweeps.length === 0 ? <p>None has run yet.</p> : null}
    {sweeps.map(({ at, found, removed, orphans, looked }) => (
      <details class="attacks" open={found > 0}>
        <summary>
          <Time at={at} />
          {found === 0 ? ": found nothing" : `: found ${found}, removed ${removed}`}
        </summary>
        <p class="hint">
          {`Looked at ${Object.entries(looked)
            .map(([what, count]) => `${count} ${what.replaceAll("_", " ")}`)
            .join(", ")}.`}
        </p>
        {orphans.length > 0 ? (
          <ul class="sheet entries">
            {orphans.map(({ what, firstSeenAt }) => (
              <li>
                <code>{what}</code>
                <span class="hint">
                  since <Time at={firstSeenAt} />
                </span>
              </li>
            ))}
          </ul>
        ) : null}
      </details>
    ))}
  </article>
);
