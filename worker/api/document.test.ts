import { beforeAll, describe, expect, it } from "vitest";
import committed from "../../docs/openapi.json" with { type: "json" };
import { createEdge } from "../edge.ts";
import { parseEnv } from "../env.ts";
import { PROBLEM_CODES } from "../problem.ts";
import { testBindings } from "../testing/edge.ts";
import { DOCUMENT_PATH } from "./document.ts";

interface Operation {
  operationId: string;
  security?: object[];
  parameters?: { name: string; in: string }[];
  responses: Record<string, { content?: Record<string, unknown> }>;
}

let edge: ReturnType<typeof createEdge>;
let operations: { name: string; path: string; method: string; operation: Operation }[];

beforeAll(async () => {
  edge = createEdge(parseEnv(await testBindings()));
  operations = Object.entries(edge.describe().paths ?? {}).flatMap(([path, methods]) =>
    Object.entries(methods as Record<string, Operation>).map(([method, operation]) => ({
      ...{ path, method, operation, name: `${method.toUpperCase()} ${path}` },
    })),
  );
});

describe("the document of the API", () => {
  it("is the one in the repository: `npm run openapi` writes it", () => {
    expect(JSON.parse(JSON.stringify(edge.describe()))).toEqual(committed);
  });

  it("describes every route that is served below /api/v1", () => {
    const served = edge.app.routes
      .filter(({ method, path }) => method !== "ALL" && path.startsWith("/api/v1/") && path !== DOCUMENT_PATH)
      .map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)(\{[^}]*\})?/g, "{$1}").replace(/\/$/, "")}`);
    expect(served.length).toBeGreaterThan(30);
    expect([...new Set(served)].sort()).toEqual(operations.map(({ name }) => name).sort());
  });

  it("says of every route who may call it and that its refusals are problems with a code of the table", () => {
    for (const { name, operation } of operations) {
      expect(operation.security?.length, name).toBeGreaterThan(0);
      expect(Object.keys(operation.responses.default?.content ?? {}), name).toEqual(["application/problem+json"]);
    }
    const problem = edge.describe().components?.schemas?.Problem as { properties: { code: { enum: string[] } } };
    expect(problem.properties.code.enum).toEqual(PROBLEM_CODES);
  });

  it("names every operation once", () => {
    const ids = operations.map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("takes an idempotency key wherever something would be done twice", () => {
    const posts = operations.filter(({ method }) => method === "post");
    for (const { name, operation } of posts) expect(namesOf(operation), name).toContain("Idempotency-Key");
  });

  it("pages every list that can grow", () => {
    const whole = {
      "GET /api/v1/billing/papers": "24 bills at most, by our own word",
      "GET /api/v1/operator/overview": "a glance",
      "GET /api/v1/operator/keys": "every host must be seen before a key is dropped",
      "GET /api/v1/operator/vault": "one row for each key of the ring",
      "GET /api/v1/tenants/{id}/commands": "a chain, which is verified whole",
      "GET /api/v1/tenants/{id}/posture": "one run",
      "GET /api/v1/tenants/{id}/samples": "a day, by the minute",
      "GET /api/v1/tenants/{id}": "no list",
      "GET /api/v1/tenants/{id}/channels": "one of each kind at most",
      "GET /api/v1/operator/hosts/{id}": "no list",
      "GET /api/v1/operator/audit": "its own steps, below an id",
      "GET /api/v1/operator/sweeps": "the newest thirty",
      "GET /api/v1/operator/images": "what the operator has allowed",
    };
    const lists = operations.filter(({ method, operation }) => method === "get" && hasArray(operation));
    const paged = lists.filter(({ name }) => !Object.hasOwn(whole, name));
    expect(paged.length).toBeGreaterThan(7);
    const isPaged = (operation: Operation) =>
      ["limit", "cursor"].every((one) => namesOf(operation).includes(one)) && "next" in answerOf(operation);
    expect(paged.filter(({ operation }) => !isPaged(operation)).map(({ name }) => name)).toEqual([]);
  });
});

const namesOf = (operation: Operation) => operation.parameters?.map(({ name }) => name) ?? [];

/** The properties of a success, references followed. */
function answerOf(operation: Operation): Record<string, { type?: unknown }> {
  type Schema = { $ref?: string; properties?: Record<string, { type?: unknown }> };
  const { schema = {} } = (operation.responses[200]?.content?.["application/json"] ?? {}) as { schema?: Schema };
  const named = edge.describe().components?.schemas as Record<string, Schema>;
  return (schema.$ref ? named[schema.$ref.split("/").at(-1) as string] : schema)?.properties ?? {};
}
const hasArray = (operation: Operation) => Object.values(answerOf(operation)).some(({ type }) => type === "array");
