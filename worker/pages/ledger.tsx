import type { FC } from "hono/jsx";
import type { CommandsView } from "../tenants/types.ts";
import { readableTime } from "./time.ts";

const KINDS: Readonly<Record<string, string>> = {
  "tenant.apply": "Bring it to what its owner wants",
  "tenant.purge": "Destroy it with everything it had",
  "tenant.halt": "Stop it; its data stays",
};

/** Every command that its server took on, each entry with what is needed to check it again. */
export const Ledger: FC<{ id: string; ledger: CommandsView }> = ({ id, ledger }) => (
  <section aria-labelledby="ledger-title" data-ledger={id}>
    <h2 id="ledger-title">Every command about it</h2>
    <p>
      Its server obeys signed commands and nothing else, and keeps a line for each that it took on. Every line carries a
      hash over itself and the line before, so nothing can be taken out or changed later without all that follows
      showing it.
    </p>
    <p>
      {ledger.intact ? (
        <span class="state good">Unbroken, as we found it</span>
      ) : (
        <span class="state bad">{`Broken at number ${ledger.brokenAt}, as we found it`}</span>
      )}
    </p>
    <p hidden data-verify>
      <button type="button" class="quiet">
        Check it in this browser
      </button>
    </p>
    <p role="status" hidden data-said="intact">
      <span class="state good">Unbroken: your browser has computed every hash again</span>
    </p>
    <p role="alert" hidden data-said="broken">
      <span class="state bad">Broken: your browser has computed another hash than the one that stands here</span>
    </p>
    <ol class="events ledger">
      {ledger.commands.toReversed().map((command) => (
        <li data-entry={JSON.stringify({ ...command, at: Date.parse(command.at) })}>
          <time datetime={command.at}>{readableTime(command.at)}</time>
          <span>
            {`${command.number}. ${KINDS[command.type] ?? command.type}`}
            <span class="hint">{`Generation ${command.generation}, command ${command.jti}`}</span>
            <code class="hash">{command.hash}</code>
          </span>
        </li>
      ))}
    </ol>
    {ledger.commands.length === 0 ? <p class="hint">Its server has not taken on any yet.</p> : null}
    <details>
      <summary>How to check it without us</summary>
      <p>
        {"The hash of a line is the base64url SHA-256 of the JSON list "}
        <code>["chelar-ledger-1", agent, epoch, number, at, type, generation, jti, commandHash, previous]</code>
        {", with "}
        <code>at</code>
        {" in milliseconds; "}
        <code>previous</code>
        {" is the hash of the line before, and 43 times the letter A for the first. The lines are at "}
        <a href={`/api/v1/tenants/${id}/commands`}>{`/api/v1/tenants/${id}/commands`}</a>.
      </p>
    </details>
  </section>
);
