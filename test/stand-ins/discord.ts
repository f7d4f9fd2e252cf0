import { type Call, crowd, hex, type Provider, type Reply, utf8, type Written } from "./provider.ts";

const EPOCH_MS = 1_420_070_400_000;
const LASTS_MS = 15 * 60_000;
const RETRY_AFTER_SECONDS = 4.5;
const error = (status: number, code: number, message: string): Reply => ({ status, body: { code, message } });

export interface Discord extends Provider {
  publicKey: string;
  /** Where interactions are sent, once the address has shown that it tells a true signature from a false one. */
  endpoint(): string | null;
  commands: Record<string, unknown>[];
  /** As at the end of their 15 minutes: no interaction can be answered by its token any more. */
  expire(): void;
  /** Calls that came before the end of a `retry_after`: Discord bars an address for them. */
  hasty(): number;
}

/**
 * One application of Discord's API v10 ("Interactions: receiving and responding", "Application", error codes): a new
 * endpoint is tried with a PING that is rightly signed and one that is not; an interaction's token lasts 15 minutes.
 */
export async function createDiscord(
  token: string,
  { fetch, now }: { fetch: typeof globalThis.fetch; now: () => number },
): Promise<Discord> {
  // Both sides' types know the pair, and neither by the same name.
  type Key = Parameters<typeof crypto.subtle.sign>[1];
  const made: unknown = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
  const pair = made as { publicKey: Key; privateKey: Key };
  const publicKey = hex((await crypto.subtle.exportKey("raw", pair.publicKey)) as ArrayBuffer);
  const id = "845027738276462632";
  const interactions = new Map<string, { channel: string; at: number }>();
  const sent: Discord["sent"] = [];
  const commands: Discord["commands"] = [];
  let endpoint: string | null = null;
  const { busy, isTooMany } = crowd();
  let serial = 0n;
  let [quietUntil, hasty] = [0, 0];

  const proof: Discord["proof"] = async (body, at) => ({
    "x-signature-timestamp": String(at),
    "x-signature-ed25519": hex(await crypto.subtle.sign("Ed25519", pair.privateKey, utf8(`${at}${body}`))),
  });

  async function answersPings(url: string): Promise<boolean> {
    const body = JSON.stringify({ id, application_id: id, type: 1, version: 1 });
    const true_ = await proof(body, Math.floor(now() / 1000));
    const post = (headers: Record<string, string>) =>
      fetch(url, { method: "POST", headers: { "content-type": "application/json", ...headers }, body });
    const good = await post(true_);
    const said = (await good.json().catch(() => null)) as { type?: number } | null;
    const bad = await post({ ...true_, "x-signature-ed25519": "0".repeat(128) });
    return good.status === 200 && said?.type === 1 && bad.status === 401;
  }

  function say(to: string, { content }: Record<string, unknown>): Reply {
    if (typeof content !== "string" || content === "") return error(400, 50_006, "Cannot send an empty message");
    if (content.length > 2_000) return error(400, 50_035, "Invalid Form Body");
    sent.push({ to, text: content });
    return { status: 200, body: { id: String(++serial) } };
  }

  async function application({ method, json }: Call): Promise<Reply> {
    if (method === "GET") return { status: 200, body: { id, name: "Ada's agent", verify_key: publicKey } };
    const url = json.interactions_endpoint_url;
    if (typeof url === "string" && !(await answersPings(url))) return error(400, 50_035, "Invalid Form Body");
    endpoint = typeof url === "string" ? url : null;
    return { status: 200, body: { id } };
  }

  return {
    publicKey,
    endpoint: () => endpoint,
    commands,
    sent,
    proof,
    expire: () => interactions.clear(),
    hasty: () => hasty,
    busy,
    body({ from, text, name = "somebody", id: own, inGroup = false, at = Math.floor(now() / 1000) }: Written) {
      const snowflake = own ?? String((BigInt(at * 1000 - EPOCH_MS) << 22n) + ++serial);
      const channel = String(645_027_906_669_000_000n + BigInt(from.slice(-6)));
      const reply = `reply-${snowflake}`;
      interactions.set(reply, { channel, at: now() });
      const user = { id: from, username: name, global_name: name };
      return JSON.stringify({
        ...{ id: snowflake, application_id: id, type: 2, token: reply, version: 1, channel_id: channel },
        ...(inGroup ? { guild_id: "1".repeat(18), member: { user, nick: name } } : { user }),
        data: { id: "1".repeat(18), name: "ask", type: 1, options: [{ name: "text", type: 3, value: text }] },
      });
    },
    async call(call) {
      const { method, path, headers, json } = call;
      const isHasty = now() < quietUntil;
      if (isHasty) hasty += 1;
      if (isHasty || isTooMany()) {
        quietUntil = now() + RETRY_AFTER_SECONDS * 1000;
        const body = { message: "You are being rate limited.", retry_after: RETRY_AFTER_SECONDS, global: false };
        return { status: 429, body, headers: { "retry-after": String(Math.ceil(RETRY_AFTER_SECONDS)) } };
      }
      const [, app, reply, at] = /^\/api\/v10\/webhooks\/(\d+)\/([^/]+)(\/messages\/@original)?$/.exec(path) ?? [];
      if (reply !== undefined) {
        const one = interactions.get(reply);
        if (app !== id || !one) return error(404, 10_015, "Unknown Webhook");
        if (now() - one.at > LASTS_MS) return error(401, 50_027, "Invalid Webhook Token");
        return at !== undefined && method !== "PATCH"
          ? error(405, 0, "405: Method Not Allowed")
          : say(one.channel, json);
      }
      if (headers.get("authorization") !== `Bot ${token}`) return error(401, 0, "401: Unauthorized");
      if (path === "/api/v10/applications/@me") return application(call);
      if (path === `/api/v10/applications/${id}/commands` && method === "POST") {
        commands.push(json);
        return { status: 201, body: { id: String(++serial) } };
      }
      const channel = /^\/api\/v10\/channels\/(\d+)\/messages$/.exec(path)?.[1];
      return channel && method === "POST" ? say(channel, json) : error(404, 0, "404: Not Found");
    },
  };
}
