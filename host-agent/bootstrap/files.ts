import { dirname } from "node:path";
import { digest, type Server, type Source } from "./ssh.ts";

export type WantedFile = { path: string; mode: number } & Source;

/** What differs in content, mode or owner, in words. */
export async function missingFiles(server: Server, wanted: readonly WantedFile[]): Promise<string[]> {
  const paths = wanted.map(({ path }) => path);
  const [sums, stats] = await Promise.all([
    server.exec(["sha256sum", "--", ...paths]),
    server.exec(["stat", "-c", "%a %u %n", "--", ...paths]),
  ]);
  const sumOf = new Map(sums.stdout.split("\n").map((line) => [line.slice(66), line.slice(0, 64)]));
  const statOf = new Map(
    stats.stdout.split("\n").map((line): [string, string] => {
      const [mode = "", uid = "", ...name] = line.split(" ");
      return [name.join(" "), `${mode} ${uid}`];
    }),
  );
  return wanted.flatMap(({ path, mode, ...source }) => {
    if (!sumOf.has(path)) return [`${path} is missing`];
    const sha256 = "text" in source ? digest(source.text) : source.sha256;
    if (sumOf.get(path) !== sha256) return [`${path} differs`];
    return statOf.get(path) === `${mode.toString(8)} 0` ? [] : [`${path} has another mode or owner`];
  });
}

/** Only those that differ: a file of 120 MB is not sent twice because a connection broke behind it. */
export async function placeFiles(
  server: Server,
  wanted: readonly WantedFile[],
  onFraction?: (fraction: number) => void,
): Promise<void> {
  for (const file of wanted) {
    if ((await missingFiles(server, [file])).length === 0) continue;
    await server.run("mkdir", ["-p", "--", dirname(file.path)]);
    await server.put(file, file.path, file.mode, onFraction);
  }
}
