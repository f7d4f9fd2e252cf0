import type { RuntimeName } from "../../schema/protocol/index.ts";
import type { Account, Resolve } from "../client.ts";

/** The stack that the journey drives, wherever its host runs. */
export interface Target {
  dashboard: string;
  dockerSocket: string;
  /** State directory of the host agent. */
  hostDir: string;
  resolve: Resolve;
  /** An address of the host itself that a container must not reach, and a port that answers there. */
  hostAddress: string;
  ingressPort: number;
  /** Whether an address answers TCP when asked from the host itself: the counter-proof of a blocked packet. */
  answersFromHost(address: string, port: number): Promise<boolean>;
  runtime: RuntimeName;
  /** Whether a time that is missed is a failure: on a machine that does nothing else it is. */
  judgesTimes?: boolean;
}

export interface Tenant {
  id: string;
  name: string;
  url: string;
  state: string;
  failure: string | null;
}

export interface Made {
  account: Account;
  tenant: Tenant;
  /** Name of its network and bridge, once it has one. */
  network?: string;
}
