import type { FC } from "hono/jsx";
import { at, CENTRE, WALLS } from "./fort-geometry.ts";
import type { Fort } from "./rules.ts";

/** Where the numerals stand: on the straight sides to the upper right. */
const NUMERAL_ANGLE = 306;

/** Strangers stop at a wall, from outside or from within: angle, where they start, where they are held. */
const HELD = [
  { angle: 162, from: 316, to: 246 },
  { angle: 234, from: 316, to: 212 },
  { angle: 18, from: 20, to: 100 },
  { angle: 196, from: 20, to: 66 },
];

const Cross: FC<{ x: number; y: number }> = ({ x, y }) => (
  <path class="held-mark" d={`M${x - 6} ${y - 6}l12 12m0 -12l-12 12`} />
);

/** The large drawing of the landing page: all five walls, the owner's way in, and where everyone else is held. */
export const FortPlan: FC = () => (
  <svg class="fort fort-plan" viewBox="0 0 640 660" role="img" aria-labelledby="fort-title fort-text">
    <title id="fort-title">Five walls around one agent</title>
    <desc id="fort-text">
      A fort seen from above, with five walls one inside the other, numbered from outside in. One lit path leads from
      below through all five gates to a lamp in the middle: the owner's way to the agent. Other paths, from outside and
      from within, end at a wall.
    </desc>
    <Walls fort={null} />
    {HELD.map(({ angle, from, to }) => {
      const [x1, y1] = at([from, angle]);
      const [x2, y2] = at([to, angle]);
      return (
        <g>
          <path class="held" d={`M${x1} ${y1}L${x2} ${y2}`} />
          <Cross x={x2} y={y2} />
        </g>
      );
    })}
    <path class="way" d={`M${CENTRE} 656V${CENTRE + 20}`} />
    {WALLS.map(({ number, side }) => {
      const [x, y] = at([side, NUMERAL_ANGLE]);
      return (
        <g class="numeral">
          <circle cx={x} cy={y} r="13" />
          <text x={x} y={y + 5} text-anchor="middle">
            {number}
          </text>
        </g>
      );
    })}
  </svg>
);

/** The drawing of one agent: its walls as they stand at this moment. */
export const FortOf: FC<{ fort: Fort; label: string }> = ({ fort, label }) => (
  <svg class="fort" viewBox="0 0 640 640" role="img" aria-label={label} id="fort">
    <Walls fort={fort} />
    <path class={fort.lamp ? "way" : "way shut"} d={`M${CENTRE} 640V${CENTRE + 20}`} />
  </svg>
);

const Walls: FC<{ fort: Fort | null }> = ({ fort }) => (
  <>
    <defs>
      <radialGradient id="glow">
        <stop class="glow-in" offset="0" />
        <stop class="glow-out" offset="1" />
      </radialGradient>
      <pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
        <path class="hatch" d="M0 0V7" />
      </pattern>
    </defs>
    <path class="slope" d={WALLS[0]?.path} />
    {WALLS.map(({ number, path }) => (
      <path
        class={`wall wall-${number} ${number > 2 && fort ? fort.walls[number as 3 | 4 | 5] : "standing"}`}
        d={path}
      />
    ))}
    <g class={fort && !fort.lamp ? "lamp out" : "lamp"}>
      <circle class="glow" cx={CENTRE} cy={CENTRE} r="64" fill="url(#glow)" />
      <circle class="flame" cx={CENTRE} cy={CENTRE} r="12" />
    </g>
  </>
);

/** The mark of the house: the trace of the bastioned wall with its lamp. */
export const Mark: FC = () => (
  <svg class="mark" viewBox="128 128 384 384" aria-hidden="true" focusable="false">
    <path d={WALLS[3]?.path} />
    <circle cx={CENTRE} cy={CENTRE} r="34" />
  </svg>
);

/** The same mark as a file of its own, for browser tabs. */
export const FAVICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="128 128 384 384"><style>path{fill:#17468f}circle{fill:#ffc266}@media(prefers-color-scheme:dark){path{fill:#9cc3ff}circle{fill:#0a1b33}}</style><path d="${WALLS[3]?.path}"/><circle cx="320" cy="320" r="44"/></svg>`;
