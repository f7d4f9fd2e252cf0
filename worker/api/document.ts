import type { OpenAPIHono } from "@hono/zod-openapi";

type Document = ReturnType<OpenAPIHono["getOpenAPI31Document"]>;
type Operation = Record<string, unknown> & { parameters?: object[] };

/** Where the document itself is served; the pages at /api/docs are drawn from it. */
export const DOCUMENT_PATH = "/api/v1/openapi.json";

/**
 * The whole API as OpenAPI 3.1, from the schemas that validate it. Nothing of this edge's own configuration stands in it,
 * so that the file in the repository is, byte for byte, what every edge serves.
 */
export function documentOf(app: OpenAPIHono): Document {
  const document = app.getOpenAPI31Document({
    openapi: "3.1.0",
    info: { title: "Chelar", version: "1", description: ABOUT },
    servers: [{ url: "/" }],
  });
  for (const [path, methods] of Object.entries(document.paths ?? {})) {
    for (const [method, operation] of Object.entries(methods as Record<string, Operation>)) {
      operation.operationId = operationIdOf(method, path);
      operation.tags = [tagOf(path)];
      // A key keeps its meaning for the same method and path only where a second call would do something again.
      if (method === "post") operation.parameters = [...(operation.parameters ?? []), IDEMPOTENCY_KEY];
    }
  }
  return { ...document, components: { ...document.components, securitySchemes: SECURITY_SCHEMES } };
}

const ABOUT = [
  "Everything that the pages do. Errors are problem documents (RFC 9457) with a stable `code`.",
  "Lists take `limit` and `cursor` and answer `next`.",
  "Every answer below /api/v1 to a key, token or session carries RateLimit and RateLimit-Policy.",
].join(" ");

const IDEMPOTENCY_KEY = {
  name: "Idempotency-Key",
  in: "header",
  required: false,
  schema: { type: "string", minLength: 1, maxLength: 255 },
  description: "Yours to choose, unique for each thing you want: sent again within 24 h, it has no second effect.",
};

const SECURITY_SCHEMES = {
  session: {
    type: "apiKey",
    in: "cookie",
    name: "__Secure-chelar.session_token",
    description: "A person in a browser. Over plain HTTP, on a developer's machine, without __Secure-.",
  },
  bearer: {
    type: "http",
    scheme: "bearer",
    description: "An API key, or a token made from one at POST /api/v1/token. Scopes: tenants:read, tenants:write.",
  },
  operator: { type: "http", scheme: "bearer", description: "The operator's token." },
} as const;

const parts = (path: string) => path.replace("/api/v1/", "").split("/");

/** The room that a route belongs to, by the first word of its path. */
function tagOf(path: string): string {
  const [first = ""] = parts(path);
  if (first === "hosts") return "operator";
  return ["me", "token", "sessions", "keys"].includes(first) ? "account" : first;
}

/** `post /api/v1/tenants/{id}/restart` → `postTenantsIdRestart`. */
const operationIdOf = (method: string, path: string): string =>
  method +
  parts(path)
    .flatMap((part) => part.replace(/[{}]/g, "").split("-"))
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join("");
