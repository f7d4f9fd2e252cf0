import type { Context } from "hono";
import type { PageDeps, Person } from "./deps.ts";

/** Runs only for someone who is signed in; anybody else signs in first and comes back to where the link led. */
export const onlySignedIn =
  (deps: Pick<PageDeps, "person">) =>
  (act: (c: Context, person: Person) => Promise<Response>) =>
  async (c: Context): Promise<Response> => {
    const person = await deps.person(c);
    if (person) return act(c, person);
    const { pathname, search } = new URL(c.req.url);
    // What was posted is gone by then: its page may not even answer a GET.
    const back = c.req.method === "GET" ? `${pathname}${search}` : "/agents";
    return c.redirect(`/sign-in?next=${encodeURIComponent(back)}`, 303);
  };
