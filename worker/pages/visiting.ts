import { expect } from "vitest";
import { agentView, type InMemory, inMemory, PERSON } from "./in-memory.ts";
import { pageRoutes } from "./routes.tsx";

/** For tests: the pages over a fresh world, as Ada's browser asks for them. Headers of `{}` make it a stranger's. */
export interface Visit {
  world: InMemory;
  get(path: string, headers?: Record<string, string>): Promise<Response>;
  post(path: string, form: Record<string, string>, headers?: Record<string, string>): Promise<Response>;
  /** Gives Ada her agent. */
  own(change?: Parameters<typeof agentView>[0]): void;
}

export const ID = agentView().id;
const ADA = { cookie: `as=${PERSON.id}` };

export function visit(): Visit {
  const world = inMemory();
  const app = pageRoutes(world.deps);
  return {
    world,
    get: async (path, headers = ADA) => app.request(path, { headers }),
    post: async (path, form, headers = ADA) =>
      app.request(path, { method: "POST", body: new URLSearchParams(form), headers }),
    own: (change = {}) => void world.agents.set(ID, { ...agentView(change), ownerId: PERSON.id }),
  };
}

/** The text that an input names as its error. */
export async function errorAt(answer: Response, field: string): Promise<string | undefined> {
  const html = await answer.text();
  expect(html).toMatch(new RegExp(`id="${field}"[^>]*aria-describedby="[^"]*${field}-error`));
  return new RegExp(`id="${field}-error">([^<]*)<`).exec(html)?.[1];
}
