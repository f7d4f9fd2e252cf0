import type { ServerResponse } from "node:http";
import { json, type SeenRequest, type StandIn, serveHttp } from "./http.ts";

/** What a provider is made to think of a key. */
export type Mood = "fine" | "wrong" | "broke" | "forbidden" | "busy" | "silent";

/**
 * The providers' own answers to the one call that checks a key, each below `/<id>` as the edge asks it: statuses and
 * bodies as in their API references (Anthropic errors, OpenAI error codes, Google RPC errors, Telegram, Discord, Slack,
 * Graph API). A key counts when it is where that provider looks for it. `mood`: what it thinks of a key that came.
 */
export function startProviders(address: string, mood: (key: string) => Mood): Promise<StandIn> {
  return serveHttp(address, 0, (request, response) => {
    const [, id = "", rest = ""] = /^\/([a-z-]+)(\/.*)$/.exec(request.path) ?? [];
    const provider = Object.hasOwn(PROVIDERS, id) ? PROVIDERS[id] : undefined;
    const key = provider?.keyOf(request, rest);
    if (!provider || rest.replace(key ?? "", "{key}") !== provider.path || request.method !== provider.method) {
      return json(response, 500, { stand_in: "no such call" });
    }
    const now = key ? mood(key) : "wrong";
    if (now === "silent") return void request;
    const [status, body] = provider.answers[now];
    respond(response, status, body);
  });
}

const respond = (response: ServerResponse, status: number, body: unknown) => json(response, status, body);

type Told = readonly [status: number, body: unknown];
interface Provider {
  method: "GET" | "POST";
  path: string;
  keyOf(request: SeenRequest, path: string): string | undefined;
  answers: Record<Exclude<Mood, "silent">, Told>;
}

const header = (name: string, prefix: string) => (request: SeenRequest) => {
  const value = String(request.headers[name] ?? "");
  return value.startsWith(prefix) ? value.slice(prefix.length) : undefined;
};
const bearer = header("authorization", "Bearer ");
const anthropic = (status: number, type: string, message: string): Told => [
  status,
  { type: "error", error: { type, message } },
];
const openai = (status: number, code: string, message: string): Told => [
  status,
  { error: { message, type: code, code } },
];
const google = (status: number, reason: string): Told => [
  status,
  {
    error: {
      code: status,
      message: reason,
      details: [{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason }],
    },
  },
];
const slack = (error: string): Told => [200, { ok: false, error }];
const slackBot = (path: string): Provider => ({
  ...{ method: "POST", path, keyOf: bearer },
  answers: {
    fine: [200, { ok: true, url: "https://stand-in.slack.com/" }],
    wrong: slack("invalid_auth"),
    broke: slack("missing_scope"),
    forbidden: slack("missing_scope"),
    busy: slack("ratelimited"),
  },
});

const PROVIDERS: Readonly<Record<string, Provider>> = {
  anthropic: {
    ...{ method: "POST", path: "/v1/messages" },
    keyOf: (request, path) =>
      request.headers["anthropic-version"] ? header("x-api-key", "")(request) : path && undefined,
    answers: {
      fine: [200, { type: "message", role: "assistant", content: [{ type: "text", text: "H" }] }],
      wrong: anthropic(401, "authentication_error", "invalid x-api-key"),
      broke: anthropic(400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
      forbidden: anthropic(403, "permission_error", "Your API key does not have permission."),
      busy: anthropic(529, "overloaded_error", "Overloaded"),
    },
  },
  openai: {
    ...{ method: "POST", path: "/v1/chat/completions", keyOf: bearer },
    answers: {
      fine: [200, { object: "chat.completion", choices: [] }],
      wrong: openai(401, "invalid_api_key", "Incorrect API key provided."),
      broke: openai(429, "insufficient_quota", "You exceeded your current quota."),
      forbidden: openai(403, "missing_scope", "You have insufficient permissions for this operation."),
      busy: openai(429, "rate_limit_exceeded", "Rate limit reached."),
    },
  },
  google: {
    ...{ method: "GET", path: "/v1beta/models?pageSize=1", keyOf: header("x-goog-api-key", "") },
    answers: {
      fine: [200, { models: [] }],
      wrong: google(400, "API_KEY_INVALID"),
      broke: google(403, "BILLING_DISABLED"),
      forbidden: google(403, "API_KEY_SERVICE_BLOCKED"),
      busy: google(429, "RATE_LIMIT_EXCEEDED"),
    },
  },
  mistral: {
    ...{ method: "GET", path: "/v1/models", keyOf: bearer },
    answers: {
      fine: [200, { object: "list", data: [] }],
      wrong: [401, { detail: "Unauthorized" }],
      broke: [402, { detail: "Payment required" }],
      forbidden: [403, { detail: "Forbidden" }],
      busy: [429, { message: "Requests rate limit exceeded" }],
    },
  },
  openrouter: {
    ...{ method: "GET", path: "/api/v1/key", keyOf: bearer },
    answers: {
      fine: [200, { data: { label: "sk-or-v1-abc...123", limit: null, limit_remaining: null, usage: 1 } }],
      wrong: [401, { error: { code: 401, message: "User not found." } }],
      broke: [200, { data: { label: "sk-or-v1-abc...123", limit: 5, limit_remaining: 0, usage: 5 } }],
      forbidden: [403, { error: { code: 403, message: "Forbidden" } }],
      busy: [429, { error: { code: 429, message: "Rate limited" } }],
    },
  },
  telegram: {
    ...{ method: "GET", path: "/bot{key}/getMe" },
    keyOf: (_, path) => /^\/bot([^/]+)\//.exec(path)?.[1],
    answers: {
      fine: [200, { ok: true, result: { id: 1, is_bot: true, username: "stand_in_bot" } }],
      wrong: [401, { ok: false, error_code: 401, description: "Unauthorized" }],
      broke: [403, { ok: false, error_code: 403, description: "Forbidden" }],
      forbidden: [403, { ok: false, error_code: 403, description: "Forbidden" }],
      busy: [429, { ok: false, error_code: 429, description: "Too Many Requests: retry after 5" }],
    },
  },
  discord: {
    ...{ method: "GET", path: "/api/v10/users/@me", keyOf: header("authorization", "Bot ") },
    answers: {
      fine: [200, { id: "1", username: "stand-in", bot: true }],
      wrong: [401, { message: "401: Unauthorized", code: 0 }],
      broke: [403, { message: "Missing Access", code: 50001 }],
      forbidden: [403, { message: "Missing Access", code: 50001 }],
      busy: [429, { message: "You are being rate limited.", retry_after: 1 }],
    },
  },
  slack: slackBot("/api/auth.test"),
  "slack-app": slackBot("/api/apps.connections.open"),
  whatsapp: {
    ...{ method: "GET", path: "/v23.0/me", keyOf: bearer },
    answers: {
      fine: [200, { id: "1", name: "Stand-in" }],
      wrong: [400, { error: { message: "Invalid OAuth access token.", type: "OAuthException", code: 190 } }],
      broke: [403, { error: { message: "Permissions error", type: "OAuthException", code: 200 } }],
      forbidden: [403, { error: { message: "Permissions error", type: "OAuthException", code: 200 } }],
      busy: [429, { error: { message: "Rate limit hit", type: "OAuthException", code: 80007 } }],
    },
  },
};
