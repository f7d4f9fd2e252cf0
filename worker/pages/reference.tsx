import { type Context, Hono } from "hono";
import type { FC } from "hono/jsx";
import { PROBLEM_CODES, problem } from "../problem.ts";
import { ASSETS } from "./assets.ts";
import type { PageDeps } from "./deps.ts";
import { page } from "./layout.tsx";
import { type Entry, entriesByTag, exampleOf, type Reference, type Schema, shapeOf } from "./reference-rules.ts";

export const REFERENCE_PATH = "/api/docs";

/** The reference of the API, drawn from its document. It reads without JavaScript; a script lets its routes be tried. */
export function referenceRoutes(deps: Pick<PageDeps, "person">, describe: () => object): Hono {
  return new Hono().get(REFERENCE_PATH, async (c: Context) =>
    page(c, {
      title: "API",
      person: await deps.person(c),
      description: "Every route of the Chelar API, with its schemas, errors and a way to try it.",
      children: <ReferencePage reference={describe() as Reference} />,
    }),
  );
}

const ReferencePage: FC<{ reference: Reference }> = ({ reference }) => {
  const rooms = [...entriesByTag(reference)];
  const schemas = reference.components?.schemas ?? {};
  return (
    <article class="reference">
      <link rel="stylesheet" href={ASSETS.referenceStyle.path} />
      <h1>API</h1>
      <p class="lead">
        Everything that the pages do, as <a href="/api/v1/openapi.json">OpenAPI 3.1</a>. Make a key under{" "}
        <a href="/account">your account</a> and send it as <code>Authorization: Bearer chk_…</code>.
      </p>
      <Rules />
      <nav aria-label="Rooms of the API" class="row">
        {rooms.map(([tag]) => (
          <a href={`#${tag}`}>{tag}</a>
        ))}
        <a href="#schemas">schemas</a>
        <a href="#problems">problems</a>
      </nav>
      <form class="sheet" id="try-key" hidden>
        <div class="field">
          <label for="key">Key to try routes with</label>
          <input id="key" type="password" autocomplete="off" spellcheck={false} aria-describedby="key-hint" />
          <p class="hint" id="key-hint">
            It stays in this page's memory and is forgotten with it. Without one, routes are tried as whoever is signed
            in here.
          </p>
        </div>
      </form>
      {rooms.map(([tag, entries]) => (
        <section id={tag}>
          <h2>{tag}</h2>
          {entries.map((entry) => (
            <Route entry={entry} schemas={schemas} />
          ))}
        </section>
      ))}
      <section id="schemas">
        <h2>Schemas</h2>
        {Object.entries(schemas).map(([name, schema]) => (
          <details class="route" id={`schema-${name}`}>
            <summary>{name}</summary>
            <Shape schema={schema} />
          </details>
        ))}
      </section>
      <Problems />
      <script type="module" src={ASSETS.reference.path} />
    </article>
  );
};

const Rules: FC = () => (
  <ul class="rules">
    <li>
      Lists take <code>limit</code> (1 to 100) and <code>cursor</code>; <code>next</code> of an answer is the cursor of
      the page after it.
    </li>
    <li>
      A <code>POST</code> with <code>Idempotency-Key</code> has one effect, however often it is sent within 24 hours.
    </li>
    <li>
      <code>RateLimit</code> says how many calls are left (<code>r</code>) and for how many seconds (<code>t</code>);
      beyond them the answer is 429 with <code>Retry-After</code>.
    </li>
  </ul>
);

const Route: FC<{ entry: Entry; schemas: Record<string, Schema> }> = ({ entry, schemas }) => {
  const { method, path, operation } = entry;
  const body = operation.requestBody?.content["application/json"]?.schema;
  const [status, answer] = Object.entries(operation.responses).find(([code]) => code.startsWith("2")) ?? [];
  const shown = Object.entries(answer?.content ?? {})[0];
  return (
    <details class="route" id={operation.operationId}>
      <summary>
        <span class="method">{method}</span> <code>{path}</code> <span class="hint">{answer?.description}</span>
      </summary>
      <p class="hint">{whoMay(operation.security)}</p>
      {operation.parameters?.length ? (
        <dl class="limits">
          {operation.parameters.map(({ name, in: where, required, description, schema }) => (
            <>
              <dt>
                <code>{name}</code>
              </dt>
              <dd>
                {`${where}, ${shapeOf(schema ?? {})}${required ? "" : ", optional"}. `}
                {description}
              </dd>
            </>
          ))}
        </dl>
      ) : null}
      {body ? (
        <>
          <h3>Body</h3>
          <Shape schema={body} />
        </>
      ) : null}
      <h3>{`Answer ${status}`}</h3>
      {shown ? <Shape schema={shown[1].schema} /> : <p class="hint">No body.</p>}
      <form
        hidden
        data-try={JSON.stringify({
          method,
          path,
          parameters:
            operation.parameters?.map(({ name, in: where, required }) => ({ name, in: where, required })) ?? [],
          body: body ? JSON.stringify(exampleOf(body, schemas), null, 2) : null,
        })}
      />
    </details>
  );
};

const Shape: FC<{ schema: Schema }> = ({ schema }) => (
  // A region that scrolls must be reached by keyboard.
  <pre tabindex={0}>{shapeOf(schema)}</pre>
);

const whoMay = (security: Record<string, string[]>[] = []): string => {
  const names = security.flatMap((one) => Object.keys(one));
  if (names.includes("bearer")) return "For a session, a key or a token.";
  return names.includes("operator") ? "For the operator." : "For a session in a browser only.";
};

const Problems: FC = () => (
  <section id="problems">
    <h2>Problems</h2>
    <p>
      Every refusal is a document of type <code>application/problem+json</code> (RFC 9457). Its <code>code</code> never
      changes its meaning.
    </p>
    <div class="attacks">
      <table>
        <thead>
          <tr>
            <th scope="col">Code</th>
            <th scope="col">Status</th>
            <th scope="col">Meaning</th>
          </tr>
        </thead>
        <tbody>
          {PROBLEM_CODES.map((code) => problem(code)).map(({ code, status, title }) => (
            <tr>
              <td>
                <code>{code}</code>
              </td>
              <td>{status}</td>
              <td>{title}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  </section>
);
