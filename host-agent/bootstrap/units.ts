import type { Server } from "./ssh.ts";

/** What a service of ours lacks: running, at boot, and with the plan that its unit file names. */
export async function missingService(server: Server, unit: string, mark: string): Promise<string[]> {
  const show = await server.run("systemctl", ["show", "-p", "MainPID,ActiveState,UnitFileState", unit]);
  const property = (name: string) => new RegExp(`^${name}=(.*)$`, "m").exec(show)?.[1] ?? "";
  if (property("ActiveState") !== "active") {
    const { stdout } = await server.exec(["journalctl", "-u", unit, "-n", "1", "-o", "cat", "--no-pager"]);
    return [`${unit} is ${property("ActiveState")}: ${lastWords(stdout)}`];
  }
  const environment = (await server.exec(["cat", `/proc/${property("MainPID")}/environ`])).stdout.split("\0");
  return [
    ...(environment.includes(`CHELAR_PLAN=${mark}`) ? [] : [`${unit} still runs an older plan`]),
    ...(property("UnitFileState") === "enabled" ? [] : [`${unit} does not start at boot`]),
  ];
}

export const isMasked = async (server: Server, unit: string) =>
  (await server.exec(["systemctl", "is-enabled", unit])).stdout.trim() === "masked";
export const isEnabled = async (server: Server, unit: string) =>
  (await server.exec(["systemctl", "is-enabled", unit])).stdout.trim() === "enabled";

/** Why a program of ours ended: `error="…"` of its last log line, or that line. */
export function lastWords(text: string): string {
  const last = text.trim().split("\n").at(-1) ?? "";
  return /\berror="(.*)"$/.exec(last)?.[1] ?? (last || "it gave no reason");
}
