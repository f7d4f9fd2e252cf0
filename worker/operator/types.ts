import { z } from "@hono/zod-openapi";

const time = z.iso.datetime();
const count = z.int().min(0);

/** How urgent something is. `bad`: somebody has to act. `poor`: it can wait for the morning. */
export const tone = z.enum(["good", "poor", "bad"]);
export type Tone = z.infer<typeof tone>;

const finding = z.object({
  tone: z.enum(["poor", "bad"]),
  sentence: z.string(),
  /** Which part of the page says more. */
  about: z.enum(["hosts", "failed", "outbox", "alerts", "billing"]),
});
export type Finding = z.infer<typeof finding>;

const room = z.object({ used: count, of: count });

export const hostView = z
  .object({
    id: z.string(),
    name: z.string(),
    region: z.string(),
    state: z.enum(["enrolled", "draining", "removed"]),
    endpoint: z.string(),
    epoch: z.int(),
    lastReportAt: time.nullable(),
    silent: z.boolean().openapi({ description: "It says nothing while others do." }),
    agents: room,
    memoryMiB: room,
    diskMiB: room,
    versions: z.record(z.string(), z.string()),
    images: z.array(z.object({ runtime: z.string(), state: z.string() })),
    drift: z.record(z.string(), count).openapi({ description: "Walls found changed and put back, by wall." }),
    posture: z
      .object({
        at: time,
        held: count,
        breached: count,
        unproven: count,
        /** Attacks that were not held, with what was seen. */
        open: z.array(
          z.object({ id: z.string(), layer: z.int(), tries: z.string(), outcome: z.string(), evidence: z.string() }),
        ),
        gates: z.array(z.object({ name: z.string(), have: z.string(), need: z.string(), ok: z.boolean() })),
      })
      .nullable()
      .openapi({ description: "Of its last attack on its own walls; null before the first." }),
  })
  .openapi("OperatorHost");
export type HostView = z.infer<typeof hostView>;

export const failedAgent = z
  .object({
    id: z.string(),
    name: z.string(),
    owner: z.string().nullable().openapi({ description: "Their address; null once the account is gone." }),
    host: z.string(),
    wanted: z.string(),
    failure: z.string().nullable(),
    since: time,
  })
  .openapi("FailedAgent");
export type FailedAgent = z.infer<typeof failedAgent>;

export const stuckDelivery = z
  .object({
    hostId: z.string(),
    host: z.string(),
    tenantId: z.string().nullable().openapi({ description: "Null: a word about the host itself." }),
    attempts: count,
    error: z.string().nullable(),
    since: time,
    nextAt: time,
  })
  .openapi("StuckDelivery");
export type StuckDelivery = z.infer<typeof stuckDelivery>;

export const alertView = z
  .object({
    kind: z.string(),
    subject: z.string(),
    detail: z.string(),
    times: count,
    firstAt: time.nullable(),
    lastAt: time.nullable(),
  })
  .openapi("Alert");

export const revenueView = z
  .object({
    payments: z.enum(["off", "trial", "stripe"]),
    /** At today's list prices; what is charged stands at the payment provider. */
    usdPerMonth: z.number(),
    plans: z.array(z.object({ plan: z.string(), name: z.string(), paid: count, usdPerMonth: z.number() })),
    trials: count,
    owing: count,
    leaving: count.openapi({ description: "Paid, and cancelled to the end of their period." }),
    ended: count,
    people: count,
  })
  .openapi("Revenue");
export type RevenueView = z.infer<typeof revenueView>;

export const overview = z
  .object({
    at: time,
    findings: z.array(finding).openapi({ description: "What is wrong, the worst first; empty when nothing is." }),
    hosts: z.array(hostView),
    agents: z.record(z.string(), count).openapi({ description: "By the state that their owners see." }),
    failed: z.array(failedAgent),
    outbox: z.object({ depth: count, oldestAt: time.nullable(), stuck: z.array(stuckDelivery) }),
    mailWaiting: count,
    alerts: z.array(alertView),
    revenue: revenueView,
  })
  .openapi("OperatorOverview");
export type Overview = z.infer<typeof overview>;

export const auditEntry = z
  .object({
    id: z.int(),
    at: time,
    actor: z.string().openapi({ description: "A person's or a host's id, `operator`, or `system`." }),
    action: z.string(),
    subject: z.string(),
    detail: z.string().nullable().openapi({ description: "JSON." }),
  })
  .openapi("AuditEntry");
export type AuditEntry = z.infer<typeof auditEntry>;

/** A run of the reaper, as it wrote it down (`worker/data/reaper.ts`). */
export const sweep = z.object({
  at: time,
  found: count,
  removed: count,
  orphans: z.array(z.object({ what: z.string(), firstSeenAt: time })),
  looked: z.record(z.string(), count),
});
export type Sweep = z.infer<typeof sweep>;
