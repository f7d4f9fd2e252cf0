import type { Hono } from "hono";
import type { FC } from "hono/jsx";
import type { Letter, PageDeps } from "./deps.ts";
import { page } from "./layout.tsx";
import { readableTime } from "./time.ts";

const LINK = /(https?:\/\/[^\s]+)/;

const Mailbox: FC<{ letters: readonly Letter[] }> = ({ letters }) => (
  <section>
    <h1>Mailbox</h1>
    <p class="lead">Mail that this machine would have sent, newest first. It exists only at localhost.</p>
    {letters.length === 0 ? <p>Nothing yet.</p> : null}
    {letters.map(({ to, subject, text, at }) => (
      <article class="sheet">
        <h2>{subject}</h2>
        <p class="hint">
          {`To ${to}, `}
          <time datetime={at}>{readableTime(at)}</time>
        </p>
        <p class="letter">{text.split(LINK).map((part, i) => (i % 2 === 1 ? <a href={part}>{part}</a> : part))}</p>
      </article>
    ))}
  </section>
);

/** There only where mail does not leave the machine: whoever reads it can enter any account. */
export function mailboxRoutes(app: Hono, { mailbox, ownHost, person }: PageDeps): void {
  if (!mailbox) return;
  app.get("/dev/mailbox", async (c) => {
    // A site whose name was made to lead to this machine (DNS rebinding) would read along otherwise.
    if (c.req.header("host") !== ownHost) return c.notFound();
    const letters = await mailbox(c.req.query("to") ?? null);
    if (!c.req.header("accept")?.includes("text/html")) return c.json({ letters });
    return page(c, { title: "Mailbox", person: await person(c), children: <Mailbox letters={letters} /> });
  });
}
