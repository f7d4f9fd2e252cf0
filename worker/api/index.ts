import { OpenAPIHono, z } from "@hono/zod-openapi";
import type { Env } from "hono";
import { PROBLEM_CODES, type Problem, problem, problemResponse } from "../problem.ts";

export { nextView, pageOf, pageQuery } from "./paging.ts";

/** What every route of the API is described with. The schemas in the document are the very ones that validate. */
const problemDocument = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.enum(PROBLEM_CODES as [Problem["code"], ...Problem["code"][]]),
    detail: z.string().optional(),
    field: z.string().optional().openapi({ description: "Which part of the request is wrong." }),
    retryAfterSeconds: z.int().optional(),
  })
  .openapi("Problem");

export const refusals = {
  default: {
    description: "A problem (RFC 9457) with a stable code",
    content: { "application/problem+json": { schema: problemDocument } },
  },
} as const;

export const okJson = <S extends z.ZodType>(schema: S, description: string) => ({
  description,
  content: { "application/json": { schema } },
});
export const jsonBody = <S extends z.ZodType>(schema: S) => ({
  body: { required: true, content: { "application/json": { schema } } },
});

type Security = Record<string, string[]>[];
/** A person in a browser, or a key or token with the scope that the method needs. */
export const anyone: Security = [{ session: [] }, { bearer: [] }];
/** A person in a browser only: what would let a stolen key dig in, or spend. */
export const sessionOnly: Security = [{ session: [] }];
/** Whoever runs the platform. */
export const operatorOnly: Security = [{ operator: [] }];

/** A parameter in the path; no id or name of ours is longer than 64 characters. */
export const inPath = (name: string) =>
  z
    .string()
    .max(64)
    .openapi({ param: { name, in: "path" } });
export const byId = z.object({ id: inPath("id") });

/** A room's part of the API: what does not fit its schemas is a problem that names the field, never the value. */
export function apiApp<E extends Env = Env>(problemOf: (error: z.core.$ZodError) => Problem = problemOfIssues) {
  return new OpenAPIHono<E>({
    defaultHook: (result) => (result.success ? undefined : problemResponse(problemOf(result.error))),
  });
}

const problemOfIssues = (error: z.core.$ZodError): Problem =>
  problem("invalid_body", { field: error.issues[0]?.path.join(".") || undefined });
