import type { FC } from "hono/jsx";
import type { ReceiptLine } from "../data/index.ts";
import type { TenantView } from "./deps.ts";
import { FortOf } from "./fort.tsx";
import { readableTime } from "./time.ts";
import { RUNTIME_WORDS, STATE_WORDS } from "./words.ts";

export const State: FC<{ state: TenantView["state"] }> = ({ state }) => (
  <span class={`state ${STATE_WORDS[state].tone}`}>{STATE_WORDS[state].label}</span>
);

export const Agents: FC<{ agents: TenantView[]; receipts: readonly ReceiptLine[] }> = ({ agents, receipts }) => (
  <div id="agents" data-live data-poll-ms={agents.length > 0 ? 3_000 : 15_000}>
    {agents.length === 0 ? <Empty /> : <List agents={agents} />}
    {receipts.length > 0 ? <Receipts receipts={receipts} /> : null}
  </div>
);

const Receipts: FC<{ receipts: readonly ReceiptLine[] }> = ({ receipts }) => (
  <section class="receipts" aria-labelledby="receipts-title">
    <h2 id="receipts-title">Receipts</h2>
    <p>
      For every agent that is gone: what was destroyed, signed by its server and by us. Anybody can check them with{" "}
      <a href="/.well-known/chelar-receipt-keys.json">our public keys</a>.
    </p>
    <ul class="events">
      {receipts.map(({ name, url, at }) => (
        <li>
          <time datetime={at}>{readableTime(at)}</time>
          <a href={url} download={`${name}-receipt.jwt`}>{`Receipt for ${name}`}</a>
        </li>
      ))}
    </ul>
  </section>
);

const List: FC<{ agents: readonly TenantView[] }> = ({ agents }) => (
  <>
    <div class="head">
      <h1>Your agents</h1>
      <a class="button" href="/agents/new">
        New agent
      </a>
    </div>
    <ul class="agents">
      {agents.map((agent) => (
        <li class="sheet agent-card">
          <div>
            <h2>
              <a href={`/agents/${agent.id}`}>{agent.name}</a>
            </h2>
            <p class="hint">{`${RUNTIME_WORDS[agent.runtime].name} · ${agent.hostname}`}</p>
          </div>
          <State state={agent.state} />
          {agent.state === "running" || agent.state === "asleep" ? (
            <a class="button small" href={agent.url} aria-label={`Open ${agent.name}`}>
              Open
            </a>
          ) : (
            <a class="button small quiet" href={`/agents/${agent.id}`} aria-label={`Details of ${agent.name}`}>
              Details
            </a>
          )}
        </li>
      ))}
    </ul>
  </>
);

const Empty: FC = () => (
  <section class="empty">
    <div class="empty-fort">
      <FortOf
        fort={{ walls: { 3: "planned", 4: "planned", 5: "planned" }, lamp: false }}
        label="A fort whose inner walls are only drawn yet"
      />
    </div>
    <div>
      <h1>Nothing within the walls yet</h1>
      <p class="lead">
        The site is surveyed and the outer walls stand. Give your agent a name, and we raise the rest around it.
      </p>
      <p>
        <a class="button" href="/agents/new">
          Create your first agent
        </a>
      </p>
    </div>
  </section>
);
