import { and, desc, eq, lt, lte } from "drizzle-orm";
import { mails } from "../../schema/db/index.ts";
import type { World } from "../clock.ts";
import type { Database, Statement } from "../db.ts";
import { describeError } from "../http.ts";
import { afterSending, type Mail, type MailConfig, type Provider, providerCall } from "./rules.ts";

const BATCH = 20;
const MAX_BATCHES = 20;
const TIMEOUT_MS = 10_000;
/** Longer than one attempt takes: nobody else sends the same mail meanwhile. */
const LEASE_MS = 60_000;
const MAILBOX_KEPT_MS = 7 * 24 * 3_600_000;

/** A mail as the mailbox of a developer's machine shows it. */
export interface Letter extends Mail {
  id: number;
  /** ISO 8601. */
  at: string;
}

/**
 * Mail that is not lost: a row first, the provider after. Writing it takes the same time whoever the mail is for and
 * whatever the provider is doing, so a waiting person learns nothing from it.
 */
export interface Post {
  /** The statement that posts a mail, for a transaction of the caller's. */
  posting(mail: Mail): Statement;
  send(mail: Mail): Promise<void>;
  /** Hands what is due to the provider. Errors are logged and the mail stays. */
  deliver(): Promise<void>;
  /** The same after an answer, when this isolate has posted something since. */
  deliverSoon(later: (work: Promise<unknown>) => void): void;
  /** Newest first, at most a hundred; null where mail really leaves. */
  mailbox: ((to: string | null) => Promise<Letter[]>) | null;
}

export interface PostOptions {
  db: Database;
  world: World;
  config: MailConfig;
  /** Reaches the provider. */
  fetch: typeof fetch;
}

export function createPost({ db, world, config, fetch }: PostOptions): Post {
  let hasPosted = false;

  const posting = ({ to, subject, text }: Mail) => {
    const now = world.now();
    return db.insert(mails).values({ recipient: to, subject, body: text, createdAt: now, dueAt: now });
  };

  /** Whether the provider had something to say about this mail: false when it is away. */
  async function deliverOne(provider: Provider, row: typeof mails.$inferSelect): Promise<boolean> {
    const attempts = row.attempts + 1;
    const claimed = await db
      .update(mails)
      .set({ attempts, dueAt: world.now() + LEASE_MS })
      .where(and(eq(mails.id, row.id), eq(mails.attempts, row.attempts)));
    if (claimed.rowsAffected !== 1) return true;
    const mail = { to: row.recipient, subject: row.subject, text: row.body };
    const status = await attempt(provider, mail, `chelar-mail-${row.id}-${row.createdAt}`);
    const next = afterSending(status, attempts);
    if (next.kind === "again") {
      await db
        .update(mails)
        .set({ dueAt: world.now() + next.inMs })
        .where(eq(mails.id, row.id));
      return status !== null;
    }
    // Neither address nor text: the log is not where a link that opens an account may lie.
    if (next.kind === "given_up") console.error(JSON.stringify({ event: "mail_given_up", id: row.id, status }));
    await db.delete(mails).where(eq(mails.id, row.id));
    return true;
  }

  async function attempt(provider: Provider, mail: Mail, id: string): Promise<number | null> {
    const { url, headers, body } = providerCall(provider, mail, id);
    try {
      const answer = await fetch(url, {
        method: "POST",
        headers: { ...headers, "content-type": "application/json", accept: "application/json" },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      await answer.body?.cancel();
      return answer.status;
    } catch (error) {
      console.error(JSON.stringify({ event: "mail_provider_away", error: describeError(error) }));
      return null;
    }
  }

  return {
    posting,
    async send(mail) {
      await posting(mail);
      hasPosted = true;
    },
    deliverSoon(later) {
      if (!hasPosted) return;
      hasPosted = false;
      later(deliver());
    },
    deliver,
    mailbox: config.driver === "mailbox" ? (to) => readMailbox(db, to) : null,
  };

  async function deliver(): Promise<void> {
    if (config.driver === "mailbox") {
      await db.delete(mails).where(lt(mails.createdAt, world.now() - MAILBOX_KEPT_MS));
      return;
    }
    // A new letter must not wait behind many old ones until the clock asks again.
    for (let batch = 0; batch < MAX_BATCHES; batch++) {
      const due = await db.select().from(mails).where(lte(mails.dueAt, world.now())).orderBy(mails.id).limit(BATCH);
      const answered = await Promise.all(due.map((row) => deliverOne(config, row)));
      // Away: one batch has waited in vain, and the rest of the clock's work waits behind this.
      if (due.length < BATCH || !answered.includes(true)) return;
    }
  }
}

async function readMailbox(db: Database, to: string | null): Promise<Letter[]> {
  const rows = await db
    .select()
    .from(mails)
    .where(to === null ? undefined : eq(mails.recipient, to))
    .orderBy(desc(mails.id))
    .limit(100);
  return rows.map(({ id, recipient, subject, body, createdAt }) => ({
    id,
    to: recipient,
    subject,
    text: body,
    at: new Date(createdAt).toISOString(),
  }));
}
