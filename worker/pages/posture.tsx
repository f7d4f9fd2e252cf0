import type { FC } from "hono/jsx";
import type { PostureView } from "../tenants/types.ts";
import type { TenantView } from "./deps.ts";
import { driftWords, fromWords, OUTCOME_WORDS, verdictOf, type WallVerdict } from "./posture-rules.ts";
import { Tabs } from "./tabs.tsx";
import { readableTime } from "./time.ts";
import { LAYERS } from "./words.ts";

/** On the agent's page: each wall with what the last attacks on it came to. The door asks at every request instead. */
export const Walls: FC<{ id: string; posture: PostureView | null }> = ({ id, posture }) => (
  <div id="walls" data-live>
    <ol class="layers">
      {LAYERS.map((layer) => (
        <li>
          <strong>{layer.name}</strong> <span class="hint">{layer.technique}</span>
          {posture === null || layer.number === 5 ? (
            <span class="kept">{layer.kept}</span>
          ) : (
            <VerdictOn verdict={verdictOf(of(posture, layer.number))} />
          )}
        </li>
      ))}
    </ol>
    {posture === null ? (
      <p class="hint">Its server has not attacked its own walls yet.</p>
    ) : (
      <p class="hint">
        {`Attacked by its own server on ${readableTime(posture.at)}, and signed by it. `}
        {driftWords(posture.drift)} <a href={`/agents/${id}/walls`}>See every attack</a>
      </p>
    )}
  </div>
);

const VerdictOn: FC<{ verdict: WallVerdict }> = ({ verdict: { tone, sentence } }) => (
  <span class={`state ${tone} verdict`}>{sentence}</span>
);

const of = ({ attacks }: PostureView, number: number) => attacks.filter(({ layer }) => layer === number);

/** Every attack, wall by wall, with what was really seen. */
export const PosturePage: FC<{ view: TenantView; posture: PostureView | null }> = ({ view, posture }) => (
  <article>
    <Tabs id={view.id} name={view.name} at="security" />
    <h1>How its walls were attacked</h1>
    {posture === null ? (
      <p class="lead">Its server has not attacked its own walls yet. It does so when its operator asks for it.</p>
    ) : (
      <Report posture={posture} />
    )}
  </article>
);

const Report: FC<{ posture: PostureView }> = ({ posture }) => (
  <>
    <p class="lead">
      The server tried to break its own walls, from inside a container like your agent's and from outside. An attack
      counts as held only when it was really tried, and really stopped.
    </p>
    <p>
      <VerdictOn verdict={verdictOf(posture.attacks)} />
      <span class="hint">{` ${readableTime(posture.at)}, within ${Math.ceil(posture.tookMs / 1000)} s. `}</span>
      <span class="hint">{driftWords(posture.drift)}</span>
    </p>
    {LAYERS.filter(({ number }) => of(posture, number).length > 0).map((layer) => (
      <Attacks layer={layer} attacks={of(posture, layer.number)} />
    ))}
    <section class="sheet">
      <h2>What the server is made of</h2>
      <dl class="limits">
        {posture.gates.map(({ name, have, need, ok }) => (
          <>
            <dt>{name.replaceAll("_", " ")}</dt>
            <dd>
              <span class={`state ${ok ? "good" : "calm"}`}>{have}</span> {ok ? null : <Hint text={`needs ${need}`} />}
            </dd>
          </>
        ))}
      </dl>
    </section>
  </>
);

const Hint: FC<{ text: string }> = ({ text }) => <span class="hint">{text}</span>;

const Attacks: FC<{ layer: (typeof LAYERS)[number]; attacks: PostureView["attacks"] }> = ({ layer, attacks }) => {
  const verdict = verdictOf(attacks);
  return (
    <details class="attacks" open={verdict.tone === "bad"}>
      <summary>
        {`${layer.number}. ${layer.name} `}
        <VerdictOn verdict={verdict} />
      </summary>
      <table>
        <thead>
          <tr>
            <th scope="col">Attack</th>
            <th scope="col">Outcome</th>
            <th scope="col">Seen</th>
          </tr>
        </thead>
        <tbody>
          {attacks.map(({ id, tries, from, source, outcome, evidence }) => (
            <tr id={id}>
              <td>
                {tries} <Hint text={`${fromWords(from)} · ${source}`} />
              </td>
              <td>
                <span class={`state ${OUTCOME_WORDS[outcome].tone}`}>{OUTCOME_WORDS[outcome].label}</span>
              </td>
              <td class="evidence">{evidence}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
};
