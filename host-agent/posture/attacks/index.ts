import type { Ground } from "../ground.ts";
import type { Attack, Unmanaged } from "../rules.ts";
import { containerAttacks } from "./container.ts";
import { toControlPlane } from "./control-plane.ts";
import { kernelAttacks } from "./kernel.ts";
import { machineAttacks } from "./machine.ts";
import { toHost, toNeighbour } from "./neighbours.ts";
import { perimeterAttacks } from "./perimeter.ts";
import { forged, fromOutside } from "./wire.ts";
import { toWorld } from "./world.ts";

/** What one process can try by itself: no neighbour, no world. */
export const attacksFromWithin = (ground: Ground): (Attack | Unmanaged)[] => [
  ...kernelAttacks(ground),
  ...containerAttacks(ground),
  ...machineAttacks(ground),
];

/** The whole table, outermost wall first. */
export const allAttacks = (ground: Ground): (Attack | Unmanaged)[] => [
  ...perimeterAttacks(ground),
  ...toNeighbour(ground),
  ...toHost(ground),
  ...toWorld(ground),
  ...toControlPlane(ground),
  ...forged(ground),
  ...fromOutside(ground),
  ...attacksFromWithin(ground),
];
