import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { RuntimeName } from "../../schema/protocol/index.ts";
import { type Account, expectStatus } from "../client.ts";
import { Inside, mounted } from "./inside.ts";
import { insist, type Recorder } from "./recorder.ts";
import type { Made, Target, Tenant } from "./target.ts";

export async function create(account: Account, name: string, runtime: RuntimeName): Promise<Tenant> {
  return expectStatus(await account.api("/api/v1/tenants", { body: { name, runtime } }), 201, 202).json<Tenant>();
}

async function read(account: Account, id: string): Promise<Tenant> {
  return expectStatus(await account.api(`/api/v1/tenants/${id}`), 200).json<Tenant>();
}

export interface StepDone {
  step: string;
  tookMs: number;
}

/** Follows the progress events until the agent runs; returns the steps that were told as done, with their times. */
export async function untilRunning(account: Account, id: string): Promise<StepDone[]> {
  const steps: StepDone[] = [];
  let last = "";
  await account.client.events(
    `${account.dashboard}/api/v1/tenants/${id}/events`,
    ({ event, data }) => {
      if (event !== "step" && event !== "state") return false;
      const body = JSON.parse(data) as {
        step?: string;
        status?: string;
        tookMs?: number | null;
        state?: string;
        failure?: string;
      };
      if (event === "step" && body.status === "done") steps.push({ step: body.step ?? "", tookMs: body.tookMs ?? 0 });
      if (event !== "state") return false;
      last = `${body.state} ${body.failure ?? ""}`;
      return body.state === "running" || body.state === "failed";
    },
    1_200,
  );
  const { state, failure } = await read(account, id);
  insist(state === "running", `state is ${state}: ${failure ?? last}`);
  return steps;
}

/** Deletes them all, and looks for what is left of each. */
export async function removeAll(target: Target, recorder: Recorder, made: Made[]): Promise<void> {
  await recorder.step("deleting leaves nothing", async () => {
    for (const { account, tenant } of made) {
      if ((await account.api("/api/v1/tenants")).status === 401) await account.signIn();
      expectStatus(await account.api(`/api/v1/tenants/${tenant.id}`, { method: "DELETE" }), 200, 202);
    }
    for (const { account, tenant, network } of made) {
      const inside = new Inside(target.dockerSocket, tenant.id);
      const left = async () => [
        ...((await account.api(`/api/v1/tenants/${tenant.id}`)).status === 404 ? [] : ["the API still knows it"]),
        ...((await inside.docker("ps", "-aq", "--filter", `label=dev.chelar.tenant=${tenant.id}`)).trim()
          ? ["a container"]
          : []),
        ...(network && (await inside.docker("network", "ls", "--format", "{{.Name}}")).split("\n").includes(network)
          ? [`the network ${network}`]
          : []),
        ...["volumes", "mounts", "config"].filter((kind) => existsSync(`${target.hostDir}/${kind}/${tenant.id}`)),
        ...(mounted(`${target.hostDir}/mounts/${tenant.id}`) ? ["a mount"] : []),
        ...((await account.client.ask(`${tenant.url}/`)).status === 404 ? [] : ["the host name still answers"]),
      ];
      const deadline = Date.now() + 60_000;
      let remains = await left();
      while (remains.length > 0 && Date.now() < deadline) {
        await sleep(200);
        remains = await left();
      }
      insist(remains.length === 0, `left of ${tenant.name}: ${remains.join(", ")}`);
    }
    return "no container, network, volume, mount or configuration; the host name is 404";
  });
}
