import type { PageDeps, Person, TenantEvent } from "./deps.ts";

const EVENTS_PER_READ = 500;
const MAX_EVENT_READS = 20;

/** Oldest first. The service hands out one read's worth at a time, and the page wants the newest of them. */
export async function allEvents(deps: Pick<PageDeps, "tenants">, person: Person, id: string): Promise<TenantEvent[]> {
  const events: TenantEvent[] = [];
  for (let reads = 0; reads < MAX_EVENT_READS; reads++) {
    const read = await deps.tenants.events(person, id, events.at(-1)?.id ?? 0);
    if (!read.ok) break;
    events.push(...read.value);
    if (read.value.length < EVENTS_PER_READ) break;
  }
  return events;
}
