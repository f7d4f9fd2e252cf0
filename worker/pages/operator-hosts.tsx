import type { FC } from "hono/jsx";
import { hostFindings, share, worstOf } from "../operator/rules.ts";
import type { HostView } from "../operator/types.ts";
import { readableMiB } from "./rules.ts";
import { readableTime } from "./time.ts";
import { LAYERS } from "./words.ts";

const TONE_WORDS = { good: "Well", poor: "To look at", bad: "Needs you" } as const;

export const Tone: FC<{ tone: keyof typeof TONE_WORDS; children?: string }> = ({ tone, children }) => (
  <span class={`state ${tone}`}>{children ?? TONE_WORDS[tone]}</span>
);

/** How much of something is promised: a bar that is also read out as text. */
const Room: FC<{ label: string; room: { used: number; of: number }; say: (amount: number) => string }> = (props) => {
  const { label, room, say } = props;
  return (
    <span class="room">
      <meter value={Math.min(1, share(room))} max={1} high={0.9} optimum={0.2} aria-label={label} />
      <span class="hint">{`${say(room.used)} of ${say(room.of)}`}</span>
    </span>
  );
};
const plain = (amount: number) => String(amount);

const driftOf = ({ drift }: HostView) => Object.values(drift).reduce((sum, times) => sum + times, 0);

/** All hosts in one table: room, versions, drift and posture, with what is wrong said in words. */
export const Hosts: FC<{ hosts: readonly HostView[]; now: number }> = ({ hosts, now }) => (
  <section id="hosts" aria-labelledby="hosts-title" data-live>
    <h2 id="hosts-title">Servers</h2>
    {hosts.length === 0 ? (
      <p class="hint">
        None yet. <code>npm run host -- add root@ADDRESS</code> makes one.
      </p>
    ) : (
      <div class="scroll">
        <table class="plain">
          <thead>
            <tr>
              <th scope="col">Server</th>
              <th scope="col">How it is</th>
              <th scope="col">Agents</th>
              <th scope="col">Memory</th>
              <th scope="col">Disk</th>
              <th scope="col">Walls</th>
              <th scope="col">Last word</th>
            </tr>
          </thead>
          <tbody>
            {hosts.map((host) => (
              <tr>
                <th scope="row">
                  <a href={`/operator/hosts/${host.id}`}>{host.name}</a>
                  <span class="hint">{host.region}</span>
                </th>
                <td>
                  <Tone tone={worstOf(hostFindings(host, now))} />
                </td>
                <td>
                  <Room label="Agents" room={host.agents} say={plain} />
                </td>
                <td>
                  <Room label="Memory promised" room={host.memoryMiB} say={readableMiB} />
                </td>
                <td>
                  <Room label="Disk promised" room={host.diskMiB} say={readableMiB} />
                </td>
                <td>
                  {host.posture ? `${host.posture.held} held` : "not tried"}
                  {host.posture && host.posture.breached > 0 ? (
                    <strong class="warn">{`${host.posture.breached} got through`}</strong>
                  ) : null}
                  {driftOf(host) > 0 ? <span class="hint">{`drift ${driftOf(host)}`}</span> : null}
                </td>
                <td>{host.lastReportAt ? <Time at={host.lastReportAt} /> : "never"}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    )}
  </section>
);

export const Time: FC<{ at: string }> = ({ at }) => <time datetime={at}>{readableTime(at)}</time>;

/** One host with everything that it says of itself. */
export const HostPage: FC<{ host: HostView; now: number }> = ({ host, now }) => {
  const found = hostFindings(host, now);
  return (
    <article>
      <p class="crumb">
        <a href="/operator">Operator</a>
      </p>
      <div class="head">
        <div>
          <h1>{host.name}</h1>
          <p class="hint">{`${host.region} · ${host.endpoint} · ${host.id}`}</p>
        </div>
        <Tone tone={worstOf(found)} />
      </div>
      {found.length > 0 ? (
        <ul class="sheet findings">
          {found.map(({ tone, reason }) => (
            <li>
              <Tone tone={tone}>{`It ${reason}.`}</Tone>
            </li>
          ))}
        </ul>
      ) : null}
      <div class="agent">
        <div class="agent-main">
          <section>
            <h2>Its walls</h2>
            <Posture posture={host.posture} />
          </section>
          <section>
            <h2>Placement</h2>
            <p>
              {host.state === "draining"
                ? "No new agent is placed here; those that are here stay."
                : "New agents are placed here while there is room."}
            </p>
            <form method="post" action={`/operator/hosts/${host.id}/${host.state === "draining" ? "reopen" : "drain"}`}>
              <button type="submit" class="quiet">
                {host.state === "draining" ? "Reopen for new agents" : "Drain: no new agents"}
              </button>
            </form>
          </section>
        </div>
        <aside class="agent-side facts" aria-label="Facts">
          <h2>Room</h2>
          <dl class="limits">
            <dt>Agents</dt>
            <dd>{`${host.agents.used} of ${host.agents.of}`}</dd>
            <dt>Memory</dt>
            <dd>{`${readableMiB(host.memoryMiB.used)} of ${readableMiB(host.memoryMiB.of)}`}</dd>
            <dt>Disk</dt>
            <dd>{`${readableMiB(host.diskMiB.used)} of ${readableMiB(host.diskMiB.of)}`}</dd>
          </dl>
          <h2>Versions</h2>
          <Pairs of={host.versions} none="It has not said yet." />
          <h2>Images</h2>
          <Pairs of={Object.fromEntries(host.images.map(({ runtime, state }) => [runtime, state]))} none="None yet." />
          <h2>Drift</h2>
          <p class="hint">Walls found changed and put back, since its watch began.</p>
          <Pairs of={host.drift} none="None." />
        </aside>
      </div>
    </article>
  );
};

const Pairs: FC<{ of: Readonly<Record<string, string | number>>; none: string }> = ({ of, none }) =>
  Object.keys(of).length === 0 ? (
    <p>{none}</p>
  ) : (
    <dl class="limits">
      {Object.entries(of).map(([name, value]) => (
        <>
          <dt>{name.replaceAll("_", " ")}</dt>
          <dd>{value}</dd>
        </>
      ))}
    </dl>
  );

const Posture: FC<{ posture: HostView["posture"] }> = ({ posture }) =>
  posture === null ? (
    <p>
      It has not attacked its own walls yet: <code>npm run posture</code> on it does.
    </p>
  ) : (
    <>
      <p>
        {`${posture.held} attacks held, ${posture.breached} got through, ${posture.unproven} could not be tried; last on `}
        <Time at={posture.at} />.
      </p>
      {posture.open.length > 0 ? (
        <div class="scroll">
          <table class="plain">
            <thead>
              <tr>
                <th scope="col">Attack</th>
                <th scope="col">Wall</th>
                <th scope="col">Seen</th>
              </tr>
            </thead>
            <tbody>
              {posture.open.map(({ tries, outcome, evidence, layer }) => (
                <tr>
                  <th scope="row">
                    {tries}
                    <span class="hint">{outcome}</span>
                  </th>
                  <td>{LAYERS.find(({ number }) => number === layer)?.name ?? layer}</td>
                  <td class="evidence">{evidence}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ) : null}
      <h3>What it is made of</h3>
      <dl class="limits">
        {posture.gates.map(({ name, have, need, ok }) => (
          <>
            <dt>{name.replaceAll("_", " ")}</dt>
            <dd>
              {have} {ok ? null : <strong class="warn">{`needs ${need}`}</strong>}
            </dd>
          </>
        ))}
      </dl>
    </>
  );
