import { z } from "zod";

/** A mail in plain text: links as they are, nothing to render and nothing that loads. */
export interface Mail {
  to: string;
  subject: string;
  text: string;
}

const sender = z.string().regex(/^[^\r\n<>]{0,100}<[^\s<>@]+@[^\s<>@]+>$|^[^\s<>@]+@[^\s<>@]+$/);
const key = z.string().min(8);

/** How mail leaves: through a provider's HTTP API, or into the mailbox page of a developer's machine. */
export const mailConfig = z.discriminatedUnion("driver", [
  z.strictObject({ driver: z.literal("mailbox") }),
  z.strictObject({ driver: z.literal("resend"), key, from: sender }),
  z.strictObject({ driver: z.literal("postmark"), key, from: sender }),
]);
export type MailConfig = z.infer<typeof mailConfig>;
export type Provider = Exclude<MailConfig, { driver: "mailbox" }>;

/**
 * The providers' send calls, one row each: a POST of JSON, answered with 2xx when the mail was accepted.
 * `id` is the same at every attempt, so that a provider that knows such keys sends a repeated mail once.
 * Sources: resend.com/docs/api-reference/emails/send-email, postmarkapp.com/developer/api/email-api.
 */
const PROVIDERS: Record<
  Provider["driver"],
  (config: Provider, mail: Mail, id: string) => { url: string; headers: Record<string, string>; body: object }
> = {
  resend: ({ key, from }, { to, subject, text }, id) => ({
    url: "https://api.resend.com/emails",
    headers: { authorization: `Bearer ${key}`, "idempotency-key": id },
    body: { from, to: [to], subject, text },
  }),
  postmark: ({ key, from }, { to, subject, text }, id) => ({
    url: "https://api.postmarkapp.com/email",
    headers: { "x-postmark-server-token": key },
    body: {
      From: from,
      To: to,
      Subject: subject,
      TextBody: text,
      MessageStream: "outbound",
      TrackOpens: false,
      TrackLinks: "None",
      Metadata: { id },
    },
  }),
};

export const providerCall = (config: Provider, mail: Mail, id: string) => PROVIDERS[config.driver](config, mail, id);

const MAX_ATTEMPTS = 8;

/** What follows an answer of the provider; null as status means that none came. */
export function afterSending(
  status: number | null,
  attempts: number,
): { kind: "sent" } | { kind: "again"; inMs: number } | { kind: "given_up" } {
  if (status !== null && status >= 200 && status < 300) return { kind: "sent" };
  // Refused for what it is: the same mail will be refused again.
  const isFinal = status === 400 || status === 413 || status === 422;
  if (isFinal || attempts >= MAX_ATTEMPTS) return { kind: "given_up" };
  return { kind: "again", inMs: Math.min(30_000 * 2 ** (attempts - 1), 3_600_000) };
}
