import type { FC } from "hono/jsx";
import type { CommandsView, PostureView } from "../tenants/types.ts";
import { cellRows } from "./cell-rules.ts";
import type { TenantView } from "./deps.ts";
import { FortOf } from "./fort.tsx";
import { Ledger } from "./ledger.tsx";
import { Walls } from "./posture.tsx";
import { fortOf } from "./rules.ts";
import { Tabs } from "./tabs.tsx";
import { readableTime } from "./time.ts";
import { STATE_WORDS } from "./words.ts";

export interface SecurityProps {
  view: TenantView;
  posture: PostureView | null;
  ledger: CommandsView;
}

/** What protects one agent, each with what was really seen. */
export const SecurityPage: FC<SecurityProps> = ({ view, posture, ledger }) => (
  <article>
    <Tabs id={view.id} name={view.name} at="security" />
    <h1>What protects {view.name}</h1>
    <p class="lead">Five walls that do not ask the agent for its opinion, and what was last seen of each.</p>
    <div class="agent">
      <div class="agent-main">
        <section aria-labelledby="layers">
          <h2 id="layers">Its five walls</h2>
          <Walls id={view.id} posture={posture} />
        </section>
        <Cell view={view} />
        <Ledger id={view.id} ledger={ledger} />
      </div>
      <aside class="agent-side" aria-label="Drawing">
        <FortOf fort={fortOf(view, [])} label={`The walls around ${view.name}: ${STATE_WORDS[view.state].label}`} />
      </aside>
    </div>
  </article>
);

const Cell: FC<{ view: TenantView }> = ({ view: { status, limits } }) => (
  <section aria-labelledby="cell-title">
    <h2 id="cell-title">Its cell, as the kernel says</h2>
    {status?.cell ? (
      <>
        <p>
          {`Read from the kernel of its server on ${readableTime(status.at)}: not what was asked for, but what is.`}
        </p>
        <table class="cell">
          <thead>
            <tr>
              <th scope="col">What</th>
              <th scope="col">Found</th>
              <th scope="col">Why it matters</th>
            </tr>
          </thead>
          <tbody>
            {cellRows(status.cell).map(({ name, found, holds, why }) => (
              <tr>
                <th scope="row">{name}</th>
                <td>
                  <span class={`state ${holds ? "good" : "bad"}`}>{found}</span>
                  {holds ? null : <span class="hint">This is not what it has to be.</span>}
                </td>
                <td class="hint">{why}</td>
              </tr>
            ))}
          </tbody>
        </table>
        <p class="hint">
          {`Bounded to ${limits.memoryMiB} MiB of memory without swap, ${limits.pids} processes and ${limits.cpuMillis / 1000} cores. No port is published.`}
        </p>
      </>
    ) : (
      <p class="hint">Its server tells this about an agent that runs, from a minute after its start on.</p>
    )}
  </section>
);
