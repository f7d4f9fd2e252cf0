import { z } from "@hono/zod-openapi";
import { level } from "./rules.ts";

const time = z.iso.datetime();

/** What anybody may know: no host, no number of hosts, no version, no agent, no reason. */
export const statusView = z
  .object({
    at: time,
    level: level.openapi({ description: "The worst of all parts now." }),
    components: z.array(
      z.object({
        id: z.string(),
        name: z.string(),
        level: level.nullable().openapi({ description: "Null where nobody has looked in the last minutes." }),
        uptimePercent: z.number().nullable(),
        days: z.array(z.object({ date: z.iso.date(), level: level.nullable(), uptimePercent: z.number().nullable() })),
      }),
    ),
    incidents: z.array(
      z.object({ component: z.string(), level: z.enum(["poor", "bad"]), startedAt: time, endedAt: time.nullable() }),
    ),
  })
  .openapi("Status");
export type StatusView = z.infer<typeof statusView>;
