import { z } from "@hono/zod-openapi";
import { heldKeyset, hostInventory, imageState } from "../../schema/protocol/index.ts";
import type { openAlerts } from "./alerts.ts";
import { heldBy } from "./host-word.ts";
import * as store from "./store.ts";

/** What an operator is told of hosts. Times are ISO 8601 in UTC. */
const iso = (at: number | null) => (at === null ? null : new Date(at).toISOString());
const hostState = z.enum(["enrolled", "draining", "removed"]);
const capacity = hostInventory.shape.capacity;

export const keysView = z
  .object({
    version: z.int(),
    current: z.string(),
    next: z.string().nullable(),
    hosts: z.array(
      z.object({
        id: z.string(),
        name: z.string(),
        keyset: heldKeyset.nullable().openapi({ description: "What the host would believe, in its own signed words." }),
        lastReportAt: z.string().nullable(),
      }),
    ),
  })
  .openapi("CommandKeys");

export const keysViewOf = (host: store.HostRow) => ({
  ...{ id: host.id, name: host.name, keyset: heldBy(host), lastReportAt: iso(host.lastReportAt) },
});

export const alertView = z
  .object({
    kind: z.string(),
    subject: z.string().openapi({ description: "A host, an agent, or a region." }),
    detail: z.string(),
    times: z.int(),
    firstAt: z.string(),
    lastAt: z.string(),
  })
  .openapi("Alert");

export const alertViewOf = (alert: Awaited<ReturnType<typeof openAlerts>>[number]): z.infer<typeof alertView> => {
  const { kind, subject, detail, times, firstAt, lastAt } = alert;
  return { kind, subject, detail, times, firstAt: iso(firstAt) as string, lastAt: iso(lastAt) as string };
};

export const hostView = z
  .object({
    id: z.string(),
    name: z.string(),
    region: z.string(),
    endpoint: z.string(),
    state: hostState,
    epoch: z.int(),
    capacity,
    lastReportAt: z.string().nullable(),
    images: z.array(imageState),
    inventory: z
      .object({
        at: z.string(),
        tenants: hostInventory.shape.tenants,
        versions: hostInventory.shape.versions,
        capacity,
        drift: z.record(z.string(), z.int()),
      })
      .nullable()
      .openapi({ description: "What the host last said is there; null before the first time." }),
  })
  .openapi("Host");

export function hostViewOf(host: store.HostRow): z.infer<typeof hostView> {
  const inventory = store.inventoryOf(host);
  const { id, name, region, endpoint, state, epoch, memoryMiB, diskMiB, maxTenants, lastReportAt } = host;
  return {
    ...{ id, name, region, endpoint, state, epoch },
    capacity: { memoryMiB, diskMiB, tenants: maxTenants },
    lastReportAt: iso(lastReportAt),
    images: inventory?.images ?? [],
    inventory: inventory && {
      at: new Date(inventory.at).toISOString(),
      tenants: inventory.tenants,
      versions: inventory.versions,
      capacity: inventory.capacity,
      drift: inventory.drift ?? {},
    },
  };
}

export const changedHostView = z.object({
  id: z.string(),
  state: hostState,
  tenants: z.int().openapi({ description: "Those that still take room there." }),
});
export const nameView = z
  .object({ hostname: z.string(), endpoint: z.string().openapi({ description: "Of the host that it lives on." }) })
  .openapi("AgentName");
export const strangerView = z.object({ hostId: z.string(), tenantId: z.string() });
export const tokenView = z.object({ token: z.string(), expiresAt: z.string() });
