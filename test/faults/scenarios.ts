import { type AgentLab, createAgentLab } from "../system/agent-lab.ts";
import { clockOff } from "./clock-faults.ts";
import { diskFull } from "./disk-faults.ts";
import { engineForgets, engineHung, engineHungAtStart, engineKilled, engineLeftovers } from "./engine-faults.ts";
import { edgeAway, journalRestored } from "./journal-faults.ts";
import { ALL, killEverywhere, type Say, sampleOf } from "./kills.ts";
import { type Product, startProduct } from "./product.ts";
import { databaseAway, deliveriesFail, edgeKilled, journalPutBack } from "./product-faults.ts";
import { STORIES } from "./stories.ts";
import type { Tally } from "./tally.ts";

/** How thorough: `brief` is for `npm test`, the whole for `npm run faults`. */
export interface Depth {
  brief: boolean;
  say: Say;
}

interface Part {
  name: string;
  /** Of `npm run faults` alone: it takes minutes, and a system test has one case of it. */
  isLong?: true;
  play(depth: Depth): Promise<Tally>;
}

/** Scenarios that share a server, or the whole product, so that it is built once. */
export interface Act {
  name: string;
  parts: readonly Part[];
  begin(): Promise<void>;
  end(): Promise<void>;
}

/** Journal, configuration and the least that volumes take fit, and filling it takes no time. */
const SMALL_DISK_MIB = 640;

function onLab(name: string, options: { stateMiB?: number }, parts: (lab: () => AgentLab) => Part[]): Act {
  let lab: AgentLab | null = null;
  const present = () => {
    if (!lab) throw new Error(`${name} has not begun`);
    return lab;
  };
  return {
    name,
    parts: parts(present),
    async begin() {
      lab = await createAgentLab(options);
    },
    end: async () => lab?.destroy(),
  };
}

/** Kill points come one after another on one agent, which is mortal and always back at the end of a story. */
export function kills(): Act {
  const act = onLab("kills", {}, (lab) =>
    STORIES.map((story) => ({
      name: story.name,
      play: ({ brief, say }) => killEverywhere(lab(), story, brief ? sampleOf(story) : ALL, say),
    })),
  );
  return act;
}

const hostFaults: readonly Act[] = [
  onLab("host", {}, (lab) => [
    {
      name: "dockerd killed",
      play: ({ brief }) =>
        engineKilled(lab(), brief ? [150, 350] : Array.from({ length: 20 }, (_, step) => 60 + 30 * step)),
    },
    { name: "dockerd forgot a start", play: () => engineForgets(lab()) },
    { name: "containerd's leftovers", play: () => engineLeftovers(lab()) },
    {
      name: "dockerd hung at a start",
      isLong: true,
      play: () =>
        engineHungAtStart(
          lab(),
          Array.from({ length: 6 }, (_, step) => 40 + 100 * step),
        ),
    },
    { name: "dockerd hung", play: ({ brief }) => engineHung(lab(), !brief) },
    { name: "clock", play: () => clockOff(lab()) },
    { name: "edge away", play: () => edgeAway(lab()) },
    { name: "old journal", play: () => journalRestored(lab()) },
  ]),
  onLab("small disk", { stateMiB: SMALL_DISK_MIB }, (lab) => [{ name: "disk full", play: () => diskFull(lab()) }]),
];

function productFaults(): Act {
  let product: Product | null = null;
  const present = () => {
    if (!product) throw new Error("the product has not begun");
    return product;
  };
  return {
    name: "product",
    parts: [
      { name: "deliveries", play: ({ brief }) => deliveriesFail(present(), brief) },
      { name: "edge killed", play: ({ brief }) => edgeKilled(present(), brief) },
      { name: "database away", play: ({ brief }) => databaseAway(present(), brief ? 4_000 : 30_000) },
      { name: "old journal", isLong: true, play: () => journalPutBack(present()) },
    ],
    async begin() {
      product = await startProduct();
    },
    end: async () => product?.stop(),
  };
}

/** Everything but the kills. */
export const FAULTS: readonly Act[] = [...hostFaults, productFaults()];
