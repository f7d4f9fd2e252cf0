import { Account, expectStatus } from "../client.ts";

export interface Timed {
  id: string;
  account: Account;
  /** From the request to the event that says `running`. */
  milliseconds: number;
  /** How long each of the host's steps took, in milliseconds. */
  steps: Readonly<Record<string, number>>;
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A person of one's own for a bench; waits where sign-ups are limited, outside of any measurement. */
export async function newPerson(dashboard: string, tag: string): Promise<Account> {
  for (let attempt = 0; ; attempt++) {
    const account = new Account(dashboard);
    try {
      await account.signUp({ name: "bench", email: `bench-${tag}@example.test`, password: `${tag}-correct-horse` });
      return account;
    } catch (error) {
      if (attempt > 12 || !/answered 429/.test((error as Error).message)) throw error;
      await pause(6_000);
    }
  }
}

/** Creates an agent, `echo` where nothing else is said, and waits, on its event stream, until it runs. */
export async function createAndWait(account: Account, name: string, more: object = {}): Promise<Timed> {
  const started = performance.now();
  const body = { name, runtime: "echo", ...more };
  const { id } = expectStatus(await account.api("/api/v1/tenants", { body }), 201, 202).json<{ id: string }>();
  let state = "";
  const steps: Record<string, number> = {};
  await account.client.events(`${account.dashboard}/api/v1/tenants/${id}/events`, ({ event, data }) => {
    if (event === "state") ({ state } = JSON.parse(data) as { state: string });
    if (event === "step") {
      const { step, status, tookMs } = JSON.parse(data) as { step: string; status: string; tookMs: number | null };
      if (status === "done" && tookMs !== null) steps[step] = tookMs;
    }
    return state === "running" || state === "failed";
  });
  const milliseconds = performance.now() - started;
  if (state !== "running") throw new Error(`${name} ended as ${state}`);
  return { id, account, milliseconds, steps };
}

export async function deleteAndWait({ account, id }: Pick<Timed, "account" | "id">): Promise<void> {
  expectStatus(await account.api(`/api/v1/tenants/${id}`, { method: "DELETE" }), 200, 202);
  while ((await account.api(`/api/v1/tenants/${id}`)).status !== 404) await pause(100);
}
