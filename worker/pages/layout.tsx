import type { Context } from "hono";
import { raw } from "hono/html";
import type { Child, FC } from "hono/jsx";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { ASSETS } from "./assets.ts";
import type { Person } from "./deps.ts";
import { Mark } from "./fort.tsx";

export interface PageProps {
  title: string;
  person: Person | null;
  /** A page that speaks to one person is neither indexed nor kept by caches. */
  description?: string;
  /** Set where parts of the page follow the state by themselves. */
  live?: boolean;
  /** Set where a passkey can be used. */
  passkeys?: boolean;
  /** Set where a ledger can be checked. */
  ledger?: boolean;
  children?: Child;
}

const Document: FC<PageProps> = ({ title, person, description, live, passkeys, ledger, children }) => (
  <html lang="en">
    <head>
      <meta charset="utf-8" />
      <meta name="viewport" content="width=device-width, initial-scale=1" />
      <title>{`${title} · Chelar`}</title>
      {description ? <meta name="description" content={description} /> : <meta name="robots" content="noindex" />}
      <meta name="color-scheme" content="light dark" />
      <meta name="theme-color" content="#f3f5f4" media="(prefers-color-scheme: light)" />
      <meta name="theme-color" content="#0a1b33" media="(prefers-color-scheme: dark)" />
      <link rel="icon" type="image/svg+xml" href={ASSETS.icon.path} />
      <link rel="stylesheet" href={ASSETS.style.path} />
      {live ? <script type="module" src={ASSETS.live.path} /> : null}
      {ledger ? <script type="module" src={ASSETS.ledger.path} /> : null}
      {passkeys ? <script type="module" src={ASSETS.passkeys.path} /> : null}
    </head>
    <body>
      <a class="skip" href="#main">
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href="/">
          <Mark />
          Chelar
        </a>
        {person ? <PersonNav person={person} /> : <VisitorNav />}
      </header>
      <main id="main">{children}</main>
      <footer class="foot">
        <p>Chelar keeps AI agents behind five walls.</p>
        <nav aria-label="About">
          <a href="/#walls">The five walls</a>
          <a href="/#plans">Plans</a>
          <a href="/status">Status</a>
          <a href="/api/docs">API</a>
        </nav>
      </footer>
    </body>
  </html>
);

const PersonNav: FC<{ person: Person }> = ({ person }) => (
  <nav class="top-nav" aria-label="Account">
    {person.role === "operator" ? <a href="/operator">Operator</a> : null}
    <a href="/agents">Agents</a>
    <a href="/billing">Billing</a>
    <a class="who" href="/account" title={person.email}>
      {person.name || person.email}
    </a>
    <form method="post" action="/sign-out">
      <button class="quiet" type="submit">
        Sign out
      </button>
    </form>
  </nav>
);

const VisitorNav: FC = () => (
  <nav class="top-nav" aria-label="Account">
    <a href="/sign-in">Sign in</a>
    <a class="button small" href="/sign-up">
      Start free
    </a>
  </nav>
);

/** Renders one whole page. Only the landing page, the same for everyone who is not signed in, may be cached. */
export async function page(c: Context, props: PageProps, status: ContentfulStatusCode = 200): Promise<Response> {
  c.header("cache-control", props.description && !props.person ? "public, max-age=60" : "no-store");
  c.header("vary", "cookie");
  const markup = await (<Document {...props} />);
  return c.html(
    <>
      {raw("<!doctype html>")}
      {markup}
    </>,
    status,
  );
}
