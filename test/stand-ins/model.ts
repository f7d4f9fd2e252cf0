import type { ServerResponse } from "node:http";
import { json, type StandIn, serveHttp } from "./http.ts";

export interface ModelOptions {
  /** What the model says to a conversation; streamed word by word where the client asks for a stream. */
  reply?: (lastUserText: string) => string;
  /** Any other key is refused with 401, as providers do. Null takes every key. */
  key?: string | null;
}

/**
 * A model provider of the OpenAI kind: `GET /v1/models`, `POST /v1/chat/completions` whole or as server-sent events, and
 * `POST /v1/responses` as server-sent events. Source of the shapes: OpenAI's API reference.
 */
export function startModelProvider(address: string, port = 0, options: ModelOptions = {}): Promise<StandIn> {
  const { reply = (text) => `You said: ${text}`, key = null } = options;
  return serveHttp(address, port, ({ method, path, headers, body }, response) => {
    if (key !== null && headers.authorization !== `Bearer ${key}`) {
      return json(response, 401, { error: { message: "Incorrect API key provided.", code: "invalid_api_key" } });
    }
    if (method === "GET" && path === "/v1/models") {
      return json(response, 200, { object: "list", data: [{ id: "stand-in", object: "model", owned_by: "test" }] });
    }
    if (method === "POST" && path === "/v1/responses") return respond(response, body, reply);
    if (method !== "POST" || path !== "/v1/chat/completions") {
      return json(response, 404, { error: { message: `Unknown request URL: ${method} ${path}.` } });
    }
    const asked = parse(body);
    if (!asked) return json(response, 400, { error: { message: "We could not parse the JSON body of your request." } });
    const content = reply(lastUserText(asked));
    if (asked.stream) stream(response, asked, content);
    else json(response, 200, completion(asked, { message: { role: "assistant", content } }, "stop"));
  });
}

interface Asked {
  model: string;
  stream?: boolean;
  messages: { role: string; content: string | { type: string; text?: string }[] }[];
}

function parse(body: string): Asked | null {
  try {
    const asked = JSON.parse(body) as Asked | null;
    return Array.isArray(asked?.messages) ? asked : null;
  } catch {
    return null;
  }
}

function lastUserText({ messages }: Asked): string {
  const content = messages.findLast((message) => message.role === "user")?.content ?? "";
  return typeof content === "string" ? content : content.map((part) => part.text ?? "").join("");
}

function completion({ model, stream }: Asked, choice: object, finish: string | null) {
  return {
    id: "chatcmpl-stand-in",
    object: stream ? "chat.completion.chunk" : "chat.completion",
    created: 1_700_000_000,
    model,
    choices: [{ index: 0, finish_reason: finish, ...choice }],
    ...(finish && { usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 } }),
  };
}

function stream(response: ServerResponse, asked: Asked, content: string): void {
  response.writeHead(200, { "content-type": "text/event-stream" });
  const send = (value: unknown) => response.write(`data: ${JSON.stringify(value)}\n\n`);
  send(completion(asked, { delta: { role: "assistant", content: "" } }, null));
  for (const word of content.split(/(?<= )/)) send(completion(asked, { delta: { content: word } }, null));
  send(completion(asked, { delta: {} }, "stop"));
  response.end("data: [DONE]\n\n");
}

interface Input {
  role?: string;
  content?: string | { type: string; text?: string }[];
}

/** The responses API, one message of text; what the client sent is a string, or a list of items. */
function respond(response: ServerResponse, body: string, reply: (lastUserText: string) => string): void {
  const { model, input } = JSON.parse(body) as { model: string; input: string | Input[] };
  const messages = typeof input === "string" ? [{ role: "user", content: input }] : input;
  const asked = messages.flatMap(({ role = "", content = "" }) => [{ role, content }]);
  const text = reply(lastUserText({ model, messages: asked }));
  const id = "msg_stand_in";
  const part = { type: "output_text", text, annotations: [] };
  const item = { id, type: "message", role: "assistant", status: "completed", content: [part] };
  const usage = {
    ...{ input_tokens: 10, output_tokens: 5, total_tokens: 15 },
    ...{ input_tokens_details: { cached_tokens: 0 }, output_tokens_details: { reasoning_tokens: 0 } },
  };
  const whole = { id: "resp_stand_in", object: "response", created_at: 1_700_000_000, model, output: [], error: null };
  const at = { item_id: id, output_index: 0, content_index: 0 };
  const events = [
    { type: "response.created", response: { ...whole, status: "in_progress" } },
    { type: "response.output_item.added", output_index: 0, item: { ...item, status: "in_progress", content: [] } },
    { type: "response.content_part.added", ...at, part: { ...part, text: "" } },
    { type: "response.output_text.delta", ...at, delta: text },
    { type: "response.output_text.done", ...at, text },
    { type: "response.content_part.done", ...at, part },
    { type: "response.output_item.done", output_index: 0, item },
    { type: "response.completed", response: { ...whole, status: "completed", output: [item], usage } },
  ];
  response.writeHead(200, { "content-type": "text/event-stream" });
  for (const [number, event] of events.entries()) {
    response.write(`event: ${event.type}\ndata: ${JSON.stringify({ ...event, sequence_number: number })}\n\n`);
  }
  response.end();
}
