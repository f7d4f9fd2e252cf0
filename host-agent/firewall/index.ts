import type { ControlPlane } from "../../schema/protocol/index.ts";
import { type Firewall, StepError } from "../tenants/ports.ts";
import { readHostFacts } from "./facts.ts";
import type { Wall } from "./guard.ts";
import { describeRefusal, type PolicyInputsGiven, parseInputs, refuseInputs, refuseOpenings } from "./inputs.ts";
import { applyRuleSets, tableDifferences } from "./iptables.ts";
import { readKernel } from "./kernel.ts";
import { firewallPolicy } from "./policy.ts";
import { applyRouting, routingDifferences, routingPolicy } from "./routing.ts";
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
export interface HostFirewall extends Firewall, Wall {
  /**
   * Other addresses of the control plane, from the next `verify`, `repair` or `apply` on. Throws a {@link StepError} and
   * keeps the plan as it is where they would open a wall.
   */
  aim(at: ControlPlane): void;
}

const DOCKERS_JUMP = "ipv4 filter FORWARD: does not begin with our jump to DOCKER-USER";

/** IPv6 is not named in rules: tenants have none, and any that they make is dropped before. */
const policyOf = ({ networks, https }: ControlPlane): Pick<PolicyInputsGiven, "controlPlane" | "exceptions"> => ({
  controlPlane: networks.filter((network) => !network.includes(":")),
  exceptions: https.map((network) => ({ network, tcpPorts: [443] })),
});

/**
 * The third wall and the routing lock beside it. Inputs are checked at once, the host before the first change; both
 * throw a {@link StepError} that names the value and what is accepted.
 */
export function createFirewall({ inputs: given, run = hostRun() }: FirewallOptions): HostFirewall {
  const planOf = (wanted: PolicyInputsGiven) => {
    const parsed = parseInputs(wanted);
    if (!parsed.ok) throw refused(parsed.refusals.map(describeRefusal));
    const { inputs } = parsed;
    return { inputs, ruleSets: firewallPolicy(inputs), routing: routingPolicy(inputs) };
  };
  let plan = planOf(given);

  const verify = async (): Promise<string[]> => {
    const kernel = await readKernel(run);
    return [...tableDifferences(kernel, plan.ruleSets), ...routingDifferences(plan.routing, kernel.routing)];
  };
  const mayChange = async (): Promise<void> => {
    const refusals = refuseInputs(plan.inputs, await readHostFacts(run));
    if (refusals.length > 0) throw refused(refusals.map(describeRefusal));
  };
  const repair = async (): Promise<string[]> => {
    const rules = await applyRuleSets(run, plan.ruleSets, mayChange);
    return [...rules, ...(await applyRouting(run, plan.routing, mayChange))];
  };
  return {
    name: "iptables",
    aim: (at) => {
      const next = planOf({ ...given, ...policyOf(at) });
      const refusals = refuseOpenings(next.inputs);
      if (refusals.length > 0) throw refused(refusals.map(describeRefusal));
      plan = next;
    },
    verify,
    repair,
    // Docker takes its own jump out for a moment whenever it makes a network. The copy in `mangle` holds meanwhile.
    passing: (found) => found.every((one) => one === DOCKERS_JUMP),
    apply: async () => {
      await repair();
    },
  };
}

const refused = (sentences: readonly string[]): StepError =>
  new StepError("This host's firewall cannot be set up.", { retryable: false, log: sentences.join("; ") });
