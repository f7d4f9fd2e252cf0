import type { FC } from "hono/jsx";
import { PLAN_IDS, PLANS, TRIAL_PLAN } from "../tenants/index.ts";
import { PlanCard } from "./billing.tsx";
import type { Person } from "./deps.ts";
import { FortPlan } from "./fort.tsx";
import { LAYERS } from "./words.ts";

export const LANDING_TEXT =
  "Your own AI agent, hosted behind five independent walls. Only you get in, and your keys are sealed before they are stored.";

const COMPARISON = [
  {
    question: "Who can reach the agent?",
    usual: "Whoever finds the port, and then the token in the address.",
    here: "You. The door checks every request and every WebSocket before the agent sees a byte of it.",
  },
  {
    question: "Which ports are open?",
    usual: "Docker publishes them past the host's firewall, often without anybody noticing.",
    here: "None. No container publishes a port; traffic reaches it through the door only.",
  },
  {
    question: "What may the process do?",
    usual: "Docker's default: fourteen kernel capabilities, a writable system, often root.",
    here: "No capability, a read-only system, a user of its own, hard limits on memory and processes.",
  },
  {
    question: "If it is talked into something bad?",
    usual: "It sees its neighbours, the services of the host, and the cloud's metadata with its credentials.",
    here: "It sees its own network and the public web. Neighbours, host and metadata are walled off.",
  },
  {
    question: "Where are your keys?",
    usual: "In an .env file, and in Docker's own state on the disk.",
    here: "Sealed one by one with AES-256-GCM, and sealed again for the one server that needs them. Never shown again.",
  },
  {
    question: "And when you delete it?",
    usual: "Volumes, networks and images stay until somebody cleans up.",
    here: "Its cell, its network and its storage are removed before your eyes, and a signed receipt says what was looked at.",
  },
];

const Start: FC<{ person: Person | null }> = ({ person }) => (
  <a class="button" href={person ? "/agents" : "/sign-up"}>
    {person ? "Go to your agents" : "Start 14 days free"}
  </a>
);

export const Landing: FC<{ person: Person | null }> = ({ person }) => (
  <>
    <section class="hero">
      <div class="hero-text">
        <h1>Your AI agent, inside five walls.</h1>
        <p class="lead">
          An agent that reads your mail and runs commands deserves better than an open port. Chelar runs it for you
          behind five independent layers. Breaching one does not breach the next.
        </p>
        <p class="row">
          <Start person={person} />
          <a href="#walls">See the walls</a>
        </p>
        <p class="hint">No card needed. An agent stands about a minute after you sign up.</p>
      </div>
      <figure class="hero-plan">
        <FortPlan />
        <figcaption>
          <span class="key way-key">your way in</span>
          <span class="key held-key">everyone else, from outside and from within</span>
        </figcaption>
      </figure>
    </section>

    <section id="walls" aria-labelledby="walls-title">
      <h2 id="walls-title">The five walls, from outside in</h2>
      <ol class="walls">
        {LAYERS.map((layer) => (
          <li class={`sample sample-${layer.number}`}>
            <h3>{layer.name}</h3>
            <p>{layer.short}</p>
            <p class="technique">{layer.technique}</p>
          </li>
        ))}
      </ol>
    </section>

    <section aria-labelledby="compare-title">
      <h2 id="compare-title">Beside the usual way</h2>
      <p class="lead">
        Most agents run on a rented server, from a copied docker command. What that means, and what we do:
      </p>
      <table class="compare">
        <thead>
          <tr>
            <th scope="col">Question</th>
            <th scope="col">Typical self-hosting</th>
            <th scope="col">Chelar</th>
          </tr>
        </thead>
        <tbody>
          {COMPARISON.map((row) => (
            <tr>
              <th scope="row">{row.question}</th>
              <td data-label="Typical self-hosting">{row.usual}</td>
              <td data-label="Chelar">{row.here}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>

    <section id="plans" aria-labelledby="plans-title">
      <h2 id="plans-title">Plans</h2>
      <p class="lead">Every plan has all five walls. Each begins with 14 days of Pro, without a card.</p>
      <ul class="plans">
        {PLAN_IDS.map((id) => (
          <PlanCard plan={PLANS[id]} mark={id === TRIAL_PLAN} />
        ))}
      </ul>
      <p class="row">
        <Start person={person} />
      </p>
    </section>
  </>
);
