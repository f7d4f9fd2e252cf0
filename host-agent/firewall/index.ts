import { type Firewall, StepError } from "../tenants/ports.ts";
import { readHostFacts } from "./facts.ts";
import { describeRefusal, type PolicyInputsGiven, parseInputs, refuseInputs } from "./inputs.ts";
import { applyRuleSets, verifyRuleSets } from "./iptables.ts";
import { firewallPolicy } from "./policy.ts";
import { applyRouting, routingPolicy, verifyRouting } from "./routing.ts";
import { hostRun, type Run } from "./run.ts";

export { describeRefusal, type PolicyInputs, type PolicyInputsGiven, parseInputs, refuseInputs } from "./inputs.ts";
export { firewallPolicy, type Rule, type RuleSet } from "./policy.ts";
export { hostRun, type Run } from "./run.ts";

export interface FirewallOptions {
  inputs: PolicyInputsGiven;
  /** How programs are started; the host itself by default. */
  run?: Run;
}

export interface HostFirewall extends Firewall {
  /** Brings the kernel to the policy; resolves with what had differed, in words (empty: nothing was touched). */
  repair(): Promise<string[]>;
}

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

  const repair = async (): Promise<string[]> => {
    const refusals = refuseInputs(inputs, await readHostFacts(run));
    if (refusals.length > 0) throw refused(refusals.map(describeRefusal));
    return [...(await applyRuleSets(run, ruleSets)), ...(await applyRouting(run, routing))];
  };
  return {
    repair,
    apply: async () => {
      await repair();
    },
    verify: async () => {
      const found = await Promise.all([verifyRuleSets(run, ruleSets), verifyRouting(run, routing)]);
      return found.flat();
    },
  };
}

const refused = (sentences: readonly string[]): StepError =>
  new StepError("This host's firewall cannot be set up.", { retryable: false, log: sentences.join("; ") });
