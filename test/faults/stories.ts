import type { Command, DesiredState, ObservedState } from "../../schema/protocol/index.ts";
import { type AgentLab, applyCommand, type Census, gone, whole } from "../system/agent-lab.ts";

/** One thing that an owner says. Which command it becomes is {@link commandOf}'s to know. */
export interface Word {
  generation: number;
  wish?: DesiredState | "purged";
  restarts?: number;
  memoryMiB?: number;
  env?: Readonly<Record<string, string>>;
}

/** What an owner says, and what must be on the host in the end, wherever the agent was killed. */
export interface Story {
  name: string;
  /** Said and reached before anything goes wrong. */
  before: readonly Word[];
  /** Said at once, one after the other; the agent is killed on the way. */
  words: readonly Word[];
  ends: ObservedState;
  left: Census;
}

const stopped: Census = { ...gone, networks: 1, directories: 3, uids: 1 };
const suspended: Census = { ...whole, running: 0 };
const runs: Word = { generation: 1 };
const toRunning = { ends: "running", left: whole } as const;
const toNothing = { ends: "purged", left: gone } as const;

export const STORIES: readonly Story[] = [
  { name: "create", before: [], words: [runs], ...toRunning },
  { name: "restart", before: [runs], words: [{ generation: 2, restarts: 1 }], ...toRunning },
  { name: "other limits", before: [runs], words: [{ generation: 2, memoryMiB: 160 }], ...toRunning },
  {
    name: "another secret",
    before: [{ generation: 1, env: { ANTHROPIC_API_KEY: "sk-lab-1" } }],
    words: [{ generation: 2, restarts: 1, env: { ANTHROPIC_API_KEY: "sk-lab-2" } }],
    ...toRunning,
  },
  { name: "stop", before: [runs], words: [{ generation: 2, wish: "stopped" }], ends: "stopped", left: stopped },
  {
    name: "start",
    before: [runs, { generation: 2, wish: "stopped" }],
    words: [{ generation: 3 }],
    ...toRunning,
  },
  {
    name: "suspend",
    before: [runs],
    words: [{ generation: 2, wish: "suspended" }],
    ends: "suspended",
    left: suspended,
  },
  { name: "wake", before: [runs, { generation: 2, wish: "suspended" }], words: [{ generation: 3 }], ...toRunning },
  { name: "purge", before: [runs], words: [{ generation: 2, wish: "purged" }], ...toNothing },
  {
    name: "purge of a stopped one",
    before: [runs, { generation: 2, wish: "stopped" }],
    words: [{ generation: 3, wish: "purged" }],
    ...toNothing,
  },
  { name: "create and delete at once", before: [], words: [runs, { generation: 2, wish: "purged" }], ...toNothing },
  {
    name: "stop and start at once",
    before: [runs],
    words: [{ generation: 2, wish: "stopped" }, { generation: 3 }],
    ...toRunning,
  },
  {
    name: "a stop that a later start has overtaken",
    before: [runs],
    words: [
      { generation: 3, restarts: 1 },
      { generation: 2, wish: "stopped" },
    ],
    ...toRunning,
  },
];

export const newest = (words: readonly Word[]): Word =>
  words.reduce((newer, word) => (word.generation > newer.generation ? word : newer));

/** The state that a word leads to. */
export const leadsTo = ({ wish = "running" }: Word): ObservedState => wish;

export async function commandOf(lab: Pick<AgentLab, "edge">, tenantId: string, word: Word): Promise<Command> {
  const { generation, wish = "running", restarts = 0, memoryMiB, env } = word;
  if (wish === "purged") return { type: "tenant.purge", tenantId, generation };
  const secretsJwe = env ? await lab.edge.seal(tenantId, generation, env) : null;
  const command = applyCommand(tenantId, { generation, desired: wish, restarts, secretsJwe });
  if (memoryMiB !== undefined) command.tenant.limits = { ...command.tenant.limits, memoryMiB };
  return command;
}
