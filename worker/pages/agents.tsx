import type { FC } from "hono/jsx";
import type { TenantView } from "./deps.ts";
import { FortOf } from "./fort.tsx";
import { RUNTIME_WORDS, STATE_WORDS } from "./words.ts";

export const State: FC<{ state: TenantView["state"] }> = ({ state }) => (
  <span class={`state ${STATE_WORDS[state].tone}`}>{STATE_WORDS[state].label}</span>
);

export const Agents: FC<{ agents: TenantView[] }> = ({ agents }) =>
  agents.length === 0 ? (
    <Empty />
  ) : (
    <>
      <div class="head">
        <h1>Your agents</h1>
        <a class="button" href="/agents/new">
          New agent
        </a>
      </div>
      <ul class="agents" id="agents" data-live data-poll-ms="3000">
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
