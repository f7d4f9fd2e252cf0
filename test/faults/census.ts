import { existsSync, readdirSync, readFileSync } from "node:fs";
import type { AgentLab, Census } from "../system/agent-lab.ts";
import { eventually, sameCensus } from "./tally.ts";

/** The census as wanted, or the last one before patience ended. What runs without its engine's knowledge runs, too. */
export async function settledCensus(lab: AgentLab, id: string, wanted: Census, others = 0): Promise<Census> {
  let found = wanted;
  const look = async () => {
    found = await lab.census(id, others);
    found = { ...found, running: found.running + (await straysOf(lab)).length };
    return sameCensus(found, wanted);
  };
  if (!(await look())) await eventually(look, 10);
  return found;
}

/** Ids of containers that have living processes, as the kernel says, and do not run, as the engine says. */
async function straysOf({ host }: Pick<AgentLab, "host">): Promise<string[]> {
  // Version 1 of control groups has a tree for each controller.
  const root = existsSync("/sys/fs/cgroup/cgroup.controllers") ? "/sys/fs/cgroup" : "/sys/fs/cgroup/pids";
  const groups = `${root}/${host.namespace}`;
  const alive = existsSync(groups) ? readdirSync(groups).filter((name) => hasProcesses(`${groups}/${name}`)) : [];
  const listed = await host.run("docker", ["-H", `unix://${host.dockerSocket}`, "ps", "--quiet", "--no-trunc"]);
  return alive.filter((id) => !listed.includes(id));
}

/** A group that is gone, or that is no group, has none. */
function hasProcesses(group: string): boolean {
  try {
    return readFileSync(`${group}/cgroup.procs`, "utf8") !== "";
  } catch {
    return false;
  }
}
