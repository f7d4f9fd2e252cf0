import { type Attack, type Attempt, refusedWith, type Seen, showing } from "../rules.ts";

/** How the rows of the fourth wall are written down. */
export const simply =
  (operation: string) =>
  (...given: (string | number)[]): Attempt => ({ operation, arguments: given });
export const [socket, read, write, open] = [simply("socket"), simply("read"), simply("write"), simply("open")];

const O_WRONLY = 1;
/** Opened and not written to: where this is allowed, the host's kernel must not notice. */
export const openToWrite = (path: string): Attempt => open(path, O_WRONLY);

export const row = (
  id: string,
  source: string,
  tries: string,
  must: string,
  attempt: Attempt,
  judge: Attack["judge"],
  more: Partial<Attack> = {},
): Attack => ({ id, layer: 4, source, from: "inside", tries, must, attempt, judge, ...more });

/** Held by these refusals and by nothing else. */
export type Refused = readonly [id: string, source: string, tries: string, attempt: Attempt, ...errnos: string[]];
export const refused = ([id, source, tries, attempt, ...errnos]: Refused): Attack =>
  row(id, source, tries, `refused: ${errnos.join(" or ")}`, attempt, refusedWith(...errnos));

/** Held when lines of `/proc/PID/status` say exactly this. */
export const status = (
  id: string,
  source: string,
  tries: string,
  path: string,
  wanted: Record<string, string>,
): Attack => row(id, source, tries, "as the plan says", read(path), showingStatus(wanted));

function showingStatus(wanted: Record<string, string>): (seen: Seen) => ReturnType<Attack["judge"]> {
  const valueIn = (text: string, name: string) => new RegExp(`(?:^|;)${name}:\\s*([^;]*)`).exec(text)?.[1]?.trim();
  const describe = (text: string) =>
    Object.keys(wanted)
      .map((name) => `${name} ${valueIn(text, name)}`)
      .join(", ");
  return showing(
    (text) => (Object.entries(wanted).every(([name, value]) => valueIn(text, name) === value) ? null : describe(text)),
    describe,
  );
}
