import { json, type SeenRequest, type StandIn, serveHttp } from "./http.ts";
import type { Provider } from "./provider.ts";
import { createTelegram, type Telegram } from "./telegram.ts";

/** Parameters as the Bot API takes them: in the query, as a form, or as JSON. */
function paramsOf({ path, headers, body }: SeenRequest): Record<string, unknown> {
  const query = Object.fromEntries(new URL(path, "http://telegram").searchParams);
  const type = String(headers["content-type"] ?? "");
  if (type.includes("json")) return { ...query, ...(JSON.parse(body || "{}") as object) };
  return type.includes("urlencoded") ? { ...query, ...Object.fromEntries(new URLSearchParams(body)) } : query;
}

export interface TelegramServer extends Telegram, StandIn {}

/**
 * The stand-in on an address, at `/bot…` and at `/telegram/bot…`, where the edge looks for it in trials; beside it `others`,
 * each below its own name.
 */
export async function startTelegram(
  address: string,
  port = 0,
  others: Readonly<Record<string, Provider>> = {},
): Promise<TelegramServer> {
  const telegram = createTelegram();
  const server = await serveHttp(address, port, async (request, response) => {
    const [, name = "", path = ""] = /^\/([a-z]+)(\/.*)$/.exec(request.path) ?? [];
    const other = Object.hasOwn(others, name) ? others[name] : undefined;
    if (other) {
      const said = await other.call({
        ...{ method: request.method, path, json: JSON.parse(request.body || "{}") as Record<string, unknown> },
        headers: new Headers(request.headers as Record<string, string>),
      });
      response.writeHead(said.status, { "content-type": "application/json", ...said.headers });
      return void response.end(JSON.stringify(said.body));
    }
    const { status, body } = telegram.call(new URL(request.path, "http://telegram").pathname, paramsOf(request));
    json(response, status, body);
  });
  return { ...telegram, ...server };
}
