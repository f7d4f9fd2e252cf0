import { type Firewall, StepError } from "../tenants/ports.ts";
import { readHostFacts } from "./facts.ts";
import type { Wall } from "./guard.ts";
import { describeRefusal, type PolicyInputsGiven, parseInputs, refuseInputs } from "./inputs.ts";
import { applyRuleSets, verifyRuleSets } from "./iptables.ts";
import { firewallPolicy } from "./policy.ts";
import { applyRouting, routingPolicy, verifyRouting } from "./routing.ts";
import { hostRun, type Run } from "./run.ts";

export { createHetznerWall, HetznerError, type HetznerOptions } from "./cloud/hetzner.ts";
export { type CloudProvider, RENDERERS } from "./cloud/render.ts";
export { createGuard, type Drift, type Guard, type GuardOptions, type GuardState, type Wall } from "./guard.ts";
export {
  compareVersions,
  describeRefusal,
  type HostFacts,
  IPTABLES_MINIMUM,
  type PolicyInputs,
  type PolicyInputsGiven,
  parseInputs,
  refuseInputs,
} from "./inputs.ts";
export { type Opening, type PerimeterInputsGiven, parsePerimeter } from "./perimeter.ts";
export { firewallPolicy, type Rule, type RuleSet } from "./policy.ts";
export { type RoutingRule, routingPolicy } from "./routing.ts";
export { CommandFailed, hostRun, type Run } from "./run.ts";
export { createUfw } from "./ufw.ts";
export { watchKernel } from "./watch.ts";

export interface FirewallOptions {
  inputs: PolicyInputsGiven;
  /** How programs are started; the host itself by default. */
  run?: Run;
}

/** The port that the lifecycle asks before it starts a tenant, and a wall that the guard keeps true. */
export type HostFirewall = Firewall & Wall;

/**
 * The third wall and the routing lock beside it. Inputs are checked at once, the host before the first change; both
 * throw a {@link StepError} that names the value and what is accepted.
 */
export function createFirewall({ inputs: given, run = hostRun() }: FirewallOptions): HostFirewall {
  const parsed = parseInputs(given);
  if (!parsed.ok) throw refused(parsed.refusals.map(describeRefusal));
  const { inputs } = parsed;
  const ruleSets = firewallPolicy(inputs);
  const routing = routingPolicy(inputs);

  const verify = async (): Promise<string[]> => {
    const found = await Promise.all([verifyRuleSets(run, ruleSets), verifyRouting(run, routing)]);
    return found.flat();
  };
  const mayChange = async (): Promise<void> => {
    const refusals = refuseInputs(inputs, await readHostFacts(run));
    if (refusals.length > 0) throw refused(refusals.map(describeRefusal));
  };
  const repair = async (): Promise<string[]> => {
    const rules = await applyRuleSets(run, ruleSets, mayChange);
    return [...rules, ...(await applyRouting(run, routing, mayChange))];
  };
  return {
    name: "iptables",
    verify,
    repair,
    apply: async () => {
      await repair();
    },
  };
}

const refused = (sentences: readonly string[]): StepError =>
  new StepError("This host's firewall cannot be set up.", { retryable: false, log: sentences.join("; ") });
