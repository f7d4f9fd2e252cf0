import type { FC } from "hono/jsx";
import { ALERT_WORDS, plural, words } from "../operator/rules.ts";
import type { Overview, RevenueView } from "../operator/types.ts";
import type { Problem } from "./deps.ts";
import { Alert } from "./forms.tsx";
import { Hosts, Time, Tone } from "./operator-hosts.tsx";
import { PROBLEM_WORDS } from "./problem-words.ts";
import { STATE_WORDS } from "./words.ts";

/** The pages of operators, with the one that is shown. */
export const OperatorNav: FC<{ at: string }> = ({ at }) => (
  <nav class="tabs" aria-label="Operator">
    {[
      ["/operator", "At a glance"],
      ["/operator/audit", "Audit"],
      ["/operator/sweeps", "Sweeps"],
    ].map(([href, label]) => (
      <a href={href} aria-current={href === at ? "page" : undefined}>
        {label}
      </a>
    ))}
  </nav>
);

export interface GlanceProps {
  view: Overview;
  passwordOnly: boolean;
  problem?: Problem;
}

/** The first thing it says is whether anything is wrong; everything below is why. */
export const Glance: FC<GlanceProps> = ({ view, passwordOnly, problem }) => {
  const now = Date.parse(view.at);
  return (
    <article data-page="/operator" data-poll-ms="10000">
      <h1 class="sr">Operator</h1>
      <OperatorNav at="/operator" />
      {problem ? (
        <Alert title={PROBLEM_WORDS[problem.code].title}>
          <p>{problem.detail ?? PROBLEM_WORDS[problem.code].advice}</p>
        </Alert>
      ) : null}
      <Verdict view={view} />
      {passwordOnly ? (
        <p class="note">
          A password is all that stands before this page. <a href="/account">Add a passkey or a code from an app</a>: it
          takes a minute, and a phished password then opens nothing.
        </p>
      ) : null}
      <Figures view={view} now={now} />
      <Failed view={view} />
      <Hosts hosts={view.hosts} now={now} />
      <Stuck view={view} now={now} />
      <Alerts view={view} />
      <Revenue revenue={view.revenue} />
    </article>
  );
};

const Verdict: FC<{ view: Overview }> = ({ view: { findings, hosts, at } }) => {
  const urgent = findings.filter(({ tone }) => tone === "bad").length;
  const tone = urgent > 0 ? "bad" : findings.length > 0 ? "poor" : "good";
  const sentence = {
    bad: `${plural(urgent, "thing")} ${urgent === 1 ? "needs" : "need"} you now.`,
    poor: "Nothing is urgent.",
    good: `All is well on ${plural(hosts.length, "server")}.`,
  }[tone];
  return (
    <section id="verdict" class={`verdict-card ${tone}`} aria-labelledby="verdict-title" data-live>
      <h2 id="verdict-title">{sentence}</h2>
      {findings.length > 0 ? (
        <ul class="findings">
          {findings.map((finding) => (
            <li>
              <a href={`#${finding.about}`}>
                <Tone tone={finding.tone}>{finding.sentence}</Tone>
              </a>
            </li>
          ))}
        </ul>
      ) : null}
      <p class="hint">
        As of <Time at={at} />
      </p>
    </section>
  );
};

const Figure: FC<{ value: string | number; label: string }> = ({ value, label }) => (
  <div>
    <dt>{label}</dt>
    <dd>{value}</dd>
  </div>
);

const Figures: FC<{ view: Overview; now: number }> = ({ view, now }) => {
  const { agents, outbox, mailWaiting, revenue } = view;
  const all = Object.values(agents).reduce((sum, n) => sum + n, 0);
  const states = Object.entries(agents).sort(([, a], [, b]) => b - a);
  return (
    <section id="figures" aria-label="Figures" data-live>
      <dl class="figures">
        <Figure value={all} label="Agents" />
        {states.map(([state, n]) => (
          <Figure value={n} label={STATE_WORDS[state as keyof typeof STATE_WORDS]?.label ?? state} />
        ))}
        <Figure
          value={outbox.depth}
          label={`Commands waiting${outbox.oldestAt ? `, for ${words(now - Date.parse(outbox.oldestAt))}` : ""}`}
        />
        <Figure value={mailWaiting} label="Mails waiting" />
        <Figure value={revenue.people} label="People" />
        {revenue.payments === "stripe" ? (
          <Figure value={`$${revenue.usdPerMonth}`} label="A month, at list prices" />
        ) : null}
      </dl>
    </section>
  );
};

const Failed: FC<{ view: Overview }> = ({ view: { failed } }) =>
  failed.length === 0 ? null : (
    <section id="failed" aria-labelledby="failed-title">
      <h2 id="failed-title">Agents that failed</h2>
      <ul class="sheet entries">
        {failed.map((agent) => (
          <li>
            <div>
              <strong>{agent.name}</strong>
              <p>{agent.failure ?? "It failed without a reason."}</p>
              <p class="hint">
                {`${agent.owner ?? "Account gone"} · ${agent.host} · wanted ${agent.wanted} · `}
                <Time at={agent.since} />
              </p>
            </div>
            <form method="post" action={`/operator/agents/${agent.id}/retry`}>
              <button type="submit" class="quiet small" aria-label={`Try again: ${agent.name}`}>
                Try again
              </button>
            </form>
          </li>
        ))}
      </ul>
    </section>
  );

const DELIVERY_WORDS: Readonly<Record<string, string>> = {
  host_unreachable: "The server does not answer",
  host_refused: "The server refused it",
  result_invalid: "The answer was not the server's own",
  secret_unreadable: "A secret of it cannot be opened",
  journal_unavailable: "The server could not write it down",
  tenant_purged: "The server has destroyed it already",
  jti_reused: "Its number was used before",
  keyset_stale: "The server holds newer keys",
  unforeseen: "Something of ours broke; the log has it",
};

const Stuck: FC<{ view: Overview; now: number }> = ({ view: { outbox }, now }) => (
  <section id="outbox" aria-labelledby="outbox-title">
    <h2 id="outbox-title">Commands that do not get through</h2>
    {outbox.stuck.length === 0 ? (
      <p class="hint">None.</p>
    ) : (
      <ul class="sheet entries">
        {outbox.stuck.map(({ hostId, host, tenantId, attempts, error, since }) => (
          <li>
            <div>
              <strong>{tenantId ?? "About the server itself"}</strong>
              <p>{DELIVERY_WORDS[error ?? ""] ?? error ?? "No reason was kept."}</p>
              <p class="hint">{`To ${host}, tried ${plural(attempts, "time")} in ${words(now - Date.parse(since))}`}</p>
            </div>
            <form method="post" action={`/operator/outbox/${hostId}/retry`}>
              {tenantId ? <input type="hidden" name="agent" value={tenantId} /> : null}
              <button type="submit" class="quiet small" aria-label={`Say it again to ${host}`}>
                Say it again
              </button>
            </form>
          </li>
        ))}
      </ul>
    )}
  </section>
);

const Alerts: FC<{ view: Overview }> = ({ view: { alerts } }) => (
  <section id="alerts" aria-labelledby="alerts-title" data-live>
    <h2 id="alerts-title">Alerts</h2>
    {alerts.length === 0 ? <p class="hint">None is open.</p> : null}
    {alerts.length > 0 ? (
      <ul class="sheet entries">
        {alerts.map(({ kind, subject, detail, times, lastAt }) => (
          <li>
            <div>
              <strong>{ALERT_WORDS[kind] ?? kind}</strong>
              <p>{detail}</p>
              <p class="hint">
                {`${subject} · noticed ${plural(times, "time")}, last `}
                {lastAt ? <Time at={lastAt} /> : null}
              </p>
            </div>
          </li>
        ))}
      </ul>
    ) : null}
  </section>
);

const NO_PAYMENTS = {
  off: "Nobody pays on this installation.",
  trial: "Trials only: there are no keys of a payment provider.",
} as const;

const Revenue: FC<{ revenue: RevenueView }> = ({ revenue }) => (
  <section id="billing" aria-labelledby="billing-title">
    <h2 id="billing-title">Revenue</h2>
    {revenue.payments === "stripe" ? (
      <>
        <div class="scroll">
          <table class="plain">
            <thead>
              <tr>
                <th scope="col">Plan</th>
                <th scope="col">Accounts</th>
                <th scope="col">A month</th>
              </tr>
            </thead>
            <tbody>
              {revenue.plans.map(({ name, paid, usdPerMonth }) => (
                <tr>
                  <th scope="row">{name}</th>
                  <td>{paid}</td>
                  <td>{`$${usdPerMonth}`}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
        <p class="hint">At today's list prices; what is charged stands at the payment provider.</p>
      </>
    ) : (
      <p class="hint">{NO_PAYMENTS[revenue.payments]}</p>
    )}
    <p>
      {`${plural(revenue.trials, "trial")} running, ${revenue.owing} owing, ${revenue.leaving} leaving, ${revenue.ended} ended.`}
    </p>
  </section>
);
