import { z } from "zod";
import { VAULT_NAMES } from "../names.ts";
import type { Incoming } from "../rules.ts";
import { type Failure, told } from "./outside.ts";
import { hmacHex, isSame } from "./proof.ts";
import type { Adapter } from "./types.ts";

const message = z.object({
  // No space: what is kept beside a message is named after it with one.
  id: z.string().regex(/^[\x21-\x7e]{1,200}$/),
  from: z.string().regex(/^\d{5,15}$/),
  timestamp: z.string().regex(/^\d{9,11}$/),
  type: z.string(),
  text: z.object({ body: z.string() }).optional(),
  group_id: z.string().optional(),
});
/** Each answer causes receipts; the others say that it was delivered, and read. */
const undelivered = z.object({ status: z.literal("failed"), recipient_id: message.shape.from });
const value = z.object({
  metadata: z.object({ phone_number_id: z.string() }).optional(),
  messages: z.array(message).optional(),
  statuses: z.array(z.unknown()).optional(),
});
const notification = z.object({
  object: z.literal("whatsapp_business_account"),
  entry: z.array(z.object({ changes: z.array(z.object({ value })) })),
});

const failed = z.object({ error: z.object({ code: z.int() }) });
const WRONG = 190;
/** Graph API and Cloud API, "Error codes": of the app, of the account, of the number, of the pair. */
const BUSY = [4, 80_007, 130_429, 131_056];
function ofMeta(body: unknown): Failure | null {
  const code = failed.safeParse(body).data?.error.code;
  if (code === WRONG) return { why: "wrong_token" };
  return code !== undefined && BUSY.includes(code) ? { why: "busy", retryAfterSeconds: 30 } : null;
}
const number = z.object({ id: z.string().regex(/^\d{5,20}$/), display_phone_number: z.string().min(3).max(40) });
const as = (token: string) => ({ authorization: `Bearer ${token}` });
const GRAPH = "/v23.0";

/** Meta, "Webhooks: validating payloads": HMAC-SHA256 with the app's secret over the very body. */
export const whatsapp: Adapter = {
  label: "WhatsApp",
  origin: "https://graph.facebook.com",
  proof: {
    name: VAULT_NAMES.whatsapp.proof,
    shape: /^[0-9a-f]{32}$/,
    hint: "An app secret has 32 characters, digits and a to f: your app, App settings, Basic.",
  },
  token: VAULT_NAMES.whatsapp.token,
  asks: ["secret", "account"],
  maxCharacters: 4_096,

  verify: async ({ headers, body }, secret) =>
    isSame(headers.get("x-hub-signature-256") ?? "", `sha256=${hmacHex(secret, body)}`),
  signsNoTime: true,
  word: (proof, channelId) => hmacHex(proof, `chelar verify ${channelId}`).slice(0, 40),

  parse(body, accountId) {
    const parsed = notification.safeParse(body);
    if (!parsed.success) return { kind: "malformed" };
    const values = parsed.data.entry.flatMap(({ changes }) => changes.map((change) => change.value));
    // One app has one secret for all of its numbers, and says them all to one address.
    const ours = values.filter(({ metadata }) => metadata?.phone_number_id === accountId);
    const [first, ...more] = ours.flatMap(({ messages = [] }) => messages.map(incoming));
    if (first) return { kind: "messages", messages: [first, ...more] };
    // Taken at first, and refused afterwards: Meta looks at most of what can be wrong only then.
    const receipts = ours.flatMap(({ statuses = [] }) => statuses.map((one) => undelivered.safeParse(one).data));
    const people = receipts.flatMap((one) => one?.recipient_id ?? []);
    if (people.length > 0) return { kind: "unanswered", people };
    return values.some(({ messages = [] }) => messages.length > 0) ? { kind: "unsupported" } : { kind: "nothing" };
  },

  async identify(call, { token, account }) {
    const path = `${GRAPH}/${account}?fields=display_phone_number`;
    const given = told(await call({ method: "GET", path, headers: as(token) }), number, ofMeta);
    if (!given.ok) return given;
    return { ok: true, result: { accountId: given.result.id, account: given.result.display_phone_number } };
  },
  register: null,
  unregister: async () => undefined,

  async send(call, { token, accountId, conversation, text }) {
    const json = {
      ...{ messaging_product: "whatsapp", recipient_type: "individual", to: conversation, type: "text" },
      text: { body: text, preview_url: false },
    };
    const asked = await call({ path: `${GRAPH}/${accountId}/messages`, headers: as(token), json });
    return told(asked, z.object({ messages: z.array(z.object({ id: z.string() })) }), ofMeta);
  },
};

function incoming(it: z.infer<typeof message>): Incoming {
  const sentAt = Number(it.timestamp) * 1000;
  return {
    ...{ updateId: it.id, conversation: it.from, senderId: it.from, sentAt, position: sentAt, reply: null },
    ...{ isAutomaton: false, isPrivate: it.group_id === undefined, text: it.text?.body ?? "" },
  };
}
