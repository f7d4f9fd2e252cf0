import { crowd, hmacHex, type Provider, type Reply } from "./provider.ts";

export interface Whatsapp extends Provider {
  /** What Meta tells of a message that the app has sent: "sent", "delivered", "read"; "failed", where it says why. */
  receipt(failed?: { to: string }): string;
}

const error = (status: number, code: number, message: string): Reply => ({
  status,
  body: { error: { message, type: "OAuthException", code, fbtrace_id: "A" } },
});

const WINDOW_MS = 24 * 3_600_000;

/**
 * One phone number of WhatsApp's Cloud API ("Webhooks: payload examples", "Messages", "Error codes"), below Graph v23.0:
 * a wrong token is 190, too many messages 130429, somebody who has not written for a day 131047.
 */
export function createWhatsapp(
  { token, secret, number }: { token: string; secret: string; number: string },
  { now }: { now: () => number },
): Whatsapp {
  const sent: Whatsapp["sent"] = [];
  const metadata = { display_phone_number: "15550783881", phone_number_id: number };
  const { busy, isTooMany } = crowd();
  const wroteAt = new Map<string, number>();
  let serial = 0;
  const notification = (value: object) =>
    JSON.stringify({
      object: "whatsapp_business_account",
      entry: [
        {
          id: "102290129340398",
          changes: [{ field: "messages", value: { messaging_product: "whatsapp", metadata, ...value } }],
        },
      ],
    });

  return {
    sent,
    busy,
    proof: async (body) => ({ "x-hub-signature-256": `sha256=${await hmacHex(secret, body)}` }),
    body({ from, text, name = "somebody", id = `wamid.${++serial}`, inGroup = false, at = Math.floor(now() / 1000) }) {
      wroteAt.set(from, Math.max(wroteAt.get(from) ?? 0, at * 1000));
      const message = { from, id, timestamp: String(at), type: "text", text: { body: text } };
      return notification({
        contacts: [{ profile: { name }, wa_id: from }],
        messages: [{ ...message, ...(inGroup && { group_id: "Y2FwaV9ncm91cDox" }) }],
      });
    },
    receipt(failed) {
      const receipt = { id: `wamid.${++serial}`, timestamp: String(Math.floor(now() / 1000)) };
      const errors = [{ code: 131_026, title: "Message undeliverable", message: "Message undeliverable" }];
      return notification({
        statuses: [
          failed
            ? { ...receipt, status: "failed", recipient_id: failed.to, errors }
            : { ...receipt, status: "read", recipient_id: "16315551234" },
        ],
      });
    },
    async call({ method, path, headers, json }) {
      if (headers.get("authorization") !== `Bearer ${token}`) return error(401, 190, "Invalid OAuth access token.");
      if (isTooMany()) return error(429, 130_429, "Rate limit hit");
      if (method === "GET" && path.startsWith(`/v23.0/${number}?`)) {
        return { status: 200, body: { id: number, display_phone_number: "+1 555 078 3881", verified_name: "Ada" } };
      }
      if (method !== "POST" || path !== `/v23.0/${number}/messages`) return error(400, 100, "Unsupported request.");
      const {
        messaging_product: product,
        to,
        type,
        text,
      } = json as Record<string, unknown> & { text?: { body?: string } };
      const body = text?.body ?? "";
      if (product !== "whatsapp" || type !== "text" || body === "") return error(400, 100, "Invalid parameter");
      if (body.length > 4_096) return error(400, 100, "Param text['body'] must be at most 4096 characters long.");
      if (now() - (wroteAt.get(String(to)) ?? 0) > WINDOW_MS) return error(400, 131_047, "Re-engagement message");
      sent.push({ to: String(to), text: body });
      return { status: 200, body: { messaging_product: "whatsapp", messages: [{ id: `wamid.${++serial}` }] } };
    },
  };
}
