import type { Wall } from "../firewall/index.ts";
import { BootstrapFailed } from "./failure.ts";
import type { HostSettings, Programs } from "./plan.ts";
import type { Server } from "./ssh.ts";

/** A host as its edge tells it. */
export interface KnownHost {
  id: string;
  lastReportAt: string | null;
}
/** The edge, as its operator may ask it. */
export interface OperatorApi {
  hosts(): Promise<readonly KnownHost[]>;
  enrolmentToken(): Promise<string>;
  /** What the host's ingress says to a command that is none; the agent's own refusal is the right answer. */
  knock(endpoint: string): Promise<string | null>;
}

export interface Site {
  server: Server;
  programs: Programs;
  settings: HostSettings;
  edge: OperatorApi;
  /** The second and third wall, driven over this connection. */
  walls: readonly Wall[];
  say(detail: string): void;
  sleep(ms: number): Promise<void>;
  nowMs(): number;
}

/**
 * One step towards the host. `missing` looks and changes nothing; `act` is safe to cut off anywhere and to repeat. A step
 * is done when `missing` finds nothing, whoever did it.
 */
export interface Step {
  id: string;
  title: string;
  missing(site: Site): Promise<string[]>;
  act(site: Site, missing: readonly string[]): Promise<void>;
  /** What `act` began comes true by itself: how long to wait for it. */
  settleSeconds?: number;
}

/** Brings one step to its end. Resolves with whether anything had to be done. */
export async function take(step: Step, site: Site): Promise<boolean> {
  try {
    const before = await step.missing(site);
    if (before.length === 0) return false;
    await step.act(site, before);
    const deadline = site.nowMs() + (step.settleSeconds ?? 0) * 1_000;
    for (;;) {
      const left = await step.missing(site);
      if (left.length === 0) return true;
      if (site.nowMs() >= deadline) throw new Error(`still missing: ${left.slice(0, 5).join("; ")}`);
      await site.sleep(500);
    }
  } catch (error) {
    if (error instanceof BootstrapFailed) throw error;
    throw new BootstrapFailed({ reason: "step_failed", step: step.id, detail: (error as Error).message }, error);
  }
}
