import { z } from "zod";
import { hmacHex, isSame } from "./proof.ts";
import type { Adapter } from "./types.ts";

const message = z.object({
  id: z.string().min(1).max(200),
  from: z.string().regex(/^\d{5,15}$/),
  timestamp: z.string().regex(/^\d{9,11}$/),
  type: z.string(),
  text: z.object({ body: z.string() }).optional(),
});
const notification = z.object({
  object: z.literal("whatsapp_business_account"),
  entry: z.array(
    z.object({ changes: z.array(z.object({ value: z.object({ messages: z.array(message).optional() }) })) }),
  ),
});

/** Meta, "Webhooks: validating payloads": HMAC-SHA256 with the app's secret over the very body. */
export const whatsapp: Adapter = {
  proof: { name: "WHATSAPP_APP_SECRET", shape: /^[0-9a-f]{32}$/ },

  verify: async ({ headers, body }, secret) =>
    isSame(headers.get("x-hub-signature-256") ?? "", `sha256=${hmacHex(secret, body)}`),

  parse(body) {
    const parsed = notification.safeParse(body);
    if (!parsed.success) return { kind: "malformed" };
    const messages = parsed.data.entry.flatMap(({ changes }) => changes.flatMap(({ value }) => value.messages ?? []));
    const [it, ...more] = messages;
    // The Cloud API sends one at a time; read receipts and the like carry none.
    if (!it || more.length > 0) return { kind: "unsupported" };
    const sentAt = Number(it.timestamp) * 1000;
    return {
      kind: "message",
      message: {
        ...{ updateId: it.id, conversation: it.from, senderId: it.from, sentAt, position: sentAt },
        ...{ isAutomaton: false, isPrivate: true, text: it.text?.body ?? "" },
      },
    };
  },
};
