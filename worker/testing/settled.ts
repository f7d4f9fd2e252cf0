import { Client, startTestEdge, type TestEdge } from "./edge.ts";
import { TestHost } from "./host.ts";

/** What most tests begin with: an edge, a host that it has enrolled, on one clock, and an owner who has signed up. */
export interface Settled {
  edge: TestEdge;
  host: TestHost;
  owner: Client;
}

export async function startSettled(options: Parameters<typeof startTestEdge>[0] = {}): Promise<Settled> {
  const host = await TestHost.make();
  const edge = await startTestEdge({ fetch: host.fetch as typeof fetch, ...options });
  host.now = edge.world.now;
  const enrolled = await host.enrol(edge);
  if (!enrolled.ok) throw new Error(`the host was not enrolled: ${await enrolled.text()}`);
  return { edge, host, owner: await new Client(edge).signUp() };
}
