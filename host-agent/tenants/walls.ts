import { type Firewall, StepError } from "./ports.ts";

/** Repairs once; a policy that still does not stand keeps every tenant from starting. */
export async function requireFirewall(firewall: Firewall): Promise<void> {
  if ((await firewall.verify()).length === 0) return;
  await firewall.apply();
  const differences = await firewall.verify();
  if (differences.length === 0) return;
  throw new StepError("This server's firewall is not in order, so the agent was not started.", {
    retryable: true,
    log: `firewall differs: ${differences.slice(0, 5).join("; ")}`,
  });
}

/**
 * Many callers, few runs: every caller gets a run that began after its call, since an earlier look may have been
 * before the change that it fears.
 */
export function afterCall(work: () => Promise<void>): () => Promise<void> {
  let current: Promise<void> | null = null;
  let next: Promise<void> | null = null;
  const begin = () => {
    current = work().finally(() => {
      current = null;
    });
    return current;
  };
  return () => {
    if (!current) return begin();
    next ??= current
      .catch(() => {})
      .then(() => {
        next = null;
        return begin();
      });
    return next;
  };
}
