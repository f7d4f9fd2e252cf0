/**
 * The plan of the fort: five walls around one lamp, drawn as an engineer of 1690 would. Pure numbers, no markup.
 * Angles in degrees, clockwise from the right as SVG has them; the gates of all walls lie below, at 90°.
 */
export const CENTRE = 320;
const BASTIONS = [126, 198, 270, 342, 414];

type Polar = readonly [radius: number, angle: number];

export const at = ([radius, angle]: Polar): [number, number] => {
  const radians = (angle * Math.PI) / 180;
  return [round(CENTRE + radius * Math.cos(radians)), round(CENTRE + radius * Math.sin(radians))];
};

/** A star with a short flat where two rays meet: the outworks. */
const star = (tip: number, inner: number): Polar[] =>
  BASTIONS.flatMap((angle): Polar[] => [
    [inner, angle - 30],
    [tip, angle],
    [inner, angle + 30],
  ]);

/** The bastioned trace: curtain, flank, face, tip, face, flank. */
const bastioned = (tip: number): Polar[] =>
  BASTIONS.flatMap((angle): Polar[] => [
    [tip * 0.7, angle - 11],
    [tip * 0.84, angle - 14],
    [tip, angle],
    [tip * 0.84, angle + 14],
    [tip * 0.7, angle + 11],
  ]);

const keep = (tip: number): Polar[] => BASTIONS.map((angle): Polar => [tip, angle]);

/** An outline with its gate left open below, `gate` units wide. */
function gated(points: Polar[], gate: number): string {
  const xy = points.map(at);
  const y = xy[0]?.[1] ?? CENTRE;
  return `M${CENTRE - gate / 2} ${y}L${xy.map((point) => point.join(" ")).join("L")}L${CENTRE + gate / 2} ${y}`;
}

export interface Wall {
  number: 1 | 2 | 3 | 4 | 5;
  path: string;
  /** How far from the centre its straight side lies. */
  side: number;
}

const wall = (number: Wall["number"], points: Polar[], gate: number): Wall => ({
  number,
  path: gated(points, gate),
  side: (at(points[0] as Polar)[1] ?? CENTRE) - CENTRE,
});

export const WALLS: readonly Wall[] = [
  wall(1, star(306, 246), 26),
  wall(2, star(266, 200), 24),
  wall(3, bastioned(226), 22),
  wall(4, bastioned(168), 20),
  wall(5, keep(88), 18),
];

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
