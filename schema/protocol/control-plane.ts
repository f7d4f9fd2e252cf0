import { z } from "zod";

/** `203.0.113.0/24` as first and last address, unsigned 32 bit; null for IPv6 and for what is no network. */
function rangeOf(text: string): { first: number; last: number } | null {
  if (!z.cidrv4().safeParse(text).success) return null;
  const [address = "", prefix = ""] = text.split("/");
  const first = address.split(".").reduce((value, octet) => value * 256 + Number(octet), 0);
  return { first, last: first + 2 ** (32 - Number(prefix)) - 1 };
}

/** IPv4 with its host bits zero, or IPv6. Nothing wider than /8: a slip must not shut, or open, half of the world. */
function isNetwork(text: string): boolean {
  const prefix = Number(text.split("/")[1]);
  const range = rangeOf(text);
  if (range) return prefix >= 8 && range.first % 2 ** (32 - prefix) === 0;
  return z.cidrv6().safeParse(text).success && prefix >= 8;
}

const network = z
  .string()
  .max(64)
  .refine(isNetwork, "a network such as 203.0.113.0/24, host bits zero, /8 or narrower");

const lies = (inner: string, outer: string): boolean => {
  const [a, b] = [rangeOf(inner), rangeOf(outer)];
  return a !== null && b !== null && a.first >= b.first && a.last <= b.last;
};

/**
 * The edge's own addresses (database, machines behind it), on which tenants have nothing to seek. `https`, IPv4 inside of
 * `networks`, stays open on TCP 443: an agent may well call its owner's dashboard by its public name.
 */
export const controlPlane = z
  .strictObject({ networks: z.array(network).min(1).max(64), https: z.array(network).max(16).default([]) })
  .refine(({ networks, https }) => https.every((opening) => networks.some((outer) => lies(opening, outer))), {
    error: "https names only what lies inside of networks, in IPv4",
  });
export type ControlPlane = z.infer<typeof controlPlane>;
