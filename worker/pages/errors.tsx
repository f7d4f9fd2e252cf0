import type { Context } from "hono";
import type { FC } from "hono/jsx";
import type { Person, Problem } from "./deps.ts";
import { page } from "./layout.tsx";
import { PROBLEM_WORDS } from "./problem-words.ts";

const Failure: FC<{ problem: Problem; person: Person | null }> = ({ problem, person }) => {
  const words = PROBLEM_WORDS[problem.code];
  return (
    <section class="narrow failure">
      <p class="figure" aria-hidden="true">
        {problem.status}
      </p>
      <h1>{words.title}</h1>
      <p class="lead">{problem.detail ?? words.advice}</p>
      <p class="row">
        <a class="button" href={person ? "/agents" : "/"}>
          {person ? "To your agents" : "To the start"}
        </a>
      </p>
    </section>
  );
};

/** A problem as a page, with its own status: for doors that answer to people and not to programs. */
export function problemPage(c: Context, problem: Problem, person: Person | null): Promise<Response> {
  if (problem.retryAfterSeconds) c.header("retry-after", String(problem.retryAfterSeconds));
  const title = PROBLEM_WORDS[problem.code].title;
  return page(c, { title, person, children: <Failure problem={problem} person={person} /> }, problem.status);
}
