import { beforeAll, describe, expect, it } from "vitest";
import { PROBLEM_CODES } from "../problem.ts";
import { startTestEdge, type TestEdge } from "../testing/edge.ts";
import { ASSETS } from "./assets.ts";
import { entriesByTag, exampleOf, type Reference, shapeOf } from "./reference-rules.ts";

let edge: TestEdge;
let html: string;
let reference: Reference;

beforeAll(async () => {
  edge = await startTestEdge();
  html = await (await edge.send("/api/docs")).text();
  reference = (await (await edge.send("/api/v1/openapi.json")).json()) as Reference;
});

describe("the reference of the API", () => {
  it("shows every operation and every code of a problem without a script", () => {
    const entries = [...entriesByTag(reference).values()].flat();
    expect(entries.length).toBeGreaterThan(30);
    for (const { operation } of entries) expect(html).toContain(`id="${operation.operationId}"`);
    for (const code of PROBLEM_CODES) expect(html).toContain(`<code>${code}</code>`);
  });

  it("holds no script or style but our own files, as the policy of every page asks", () => {
    const scripts = [...html.matchAll(/<script\b[^>]*>/g)].map(([tag]) => tag);
    expect(scripts).toEqual([expect.stringContaining(`src="${ASSETS.reference.path}"`)]);
    expect(html).not.toMatch(/<style\b|\son\w+=|\sstyle=/);
    expect(html).not.toMatch(/(?:src|href)="https?:/);
  });

  it("keeps a key out of everything that outlives the page", () => {
    expect(ASSETS.reference.body).not.toMatch(/localStorage|sessionStorage|cookie|innerHTML|indexedDB/);
  });

  it("begins a body with what is required, in the right types", () => {
    const schema = {
      type: "object",
      required: ["name", "runtime", "keys"],
      properties: {
        name: { type: "string" },
        runtime: { enum: ["echo", "openclaw"] },
        keys: { type: "array", items: { $ref: "#/components/schemas/Key" } },
        region: { type: "string" },
      },
    };
    const schemas = { Key: { type: "object", required: ["days"], properties: { days: { type: "integer" } } } };
    expect(exampleOf(schema, schemas)).toEqual({ name: "…", runtime: "echo", keys: [{ days: 1 }] });
  });

  it("writes a schema as a person would", () => {
    expect(shapeOf({ type: ["string", "null"] })).toBe("string | null");
    expect(shapeOf({ type: "array", items: { $ref: "#/components/schemas/Tenant" } })).toBe("Tenant[]");
    expect(shapeOf({ type: "object", required: ["a"], properties: { a: { const: 1 }, b: { enum: ["x", "y"] } } })).toBe(
      '{\n  a: 1\n  b?: "x" | "y"\n}',
    );
  });
});
