import { type Attack, type Attempt, type Position, unreached } from "../rules.ts";

/** How the rows of the first three walls are written down: one packet, and where it must not arrive. */
const SECONDS = 1;

export type Protocol = "tcp" | "udp" | "ping";

/** Sent by any position; `source` where the host must speak from its end of the cable. */
export const probe = (protocol: Protocol, host: string, port: number, source = ""): Attempt => ({
  operation: protocol,
  arguments: protocol === "ping" ? [host, SECONDS, source] : [host, port, SECONDS, source],
});
export const sweepOf = (host: string, ports: readonly number[]): Attempt => ({
  operation: "sweep",
  arguments: [host, ports.join(","), SECONDS],
});
export const keyOf = (protocol: Protocol, host: string, port: number) =>
  `${protocol} ${host} ${protocol === "ping" ? 0 : port}`;
export const fromHost = (protocol: Protocol, host: string, port: number, source = ""): Attack["control"] => ({
  from: "host",
  attempt: probe(protocol, host, port, source),
});

interface Row {
  id: string;
  source: string;
  tries: string;
  from?: Position;
}
export const row = (
  { id, source, tries, from = "inside" }: Row,
  rest: Omit<Attack, keyof Row | "layer" | "must" | "judge" | "from">,
): Attack => ({
  ...{ id, layer: 3, source, from, tries, must: "nothing arrives, nobody answers", judge: unreached },
  ...rest,
});
