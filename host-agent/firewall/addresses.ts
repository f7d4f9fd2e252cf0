/** IPv4 networks as numbers. Pure; strict: no short forms, no leading zeros, no host bits below the prefix. */
export interface Network {
  /** First address, unsigned 32 bit. */
  base: number;
  prefix: number;
}

const OCTET = "(0|[1-9]\\d{0,2})";
const ADDRESS = new RegExp(`^${OCTET}\\.${OCTET}\\.${OCTET}\\.${OCTET}$`);

export function parseAddress(text: string): number | null {
  const match = ADDRESS.exec(text);
  if (!match) return null;
  const octets = match.slice(1).map(Number);
  if (octets.some((octet) => octet > 255)) return null;
  return octets.reduce((value, octet) => value * 256 + octet, 0);
}

/** Accepts `a.b.c.d/n` and, as a network of one, `a.b.c.d`. Null for everything else. */
export function parseNetwork(text: string): Network | null {
  const [address = "", prefixText = "32", ...rest] = text.split("/");
  const base = parseAddress(address);
  if (base === null || rest.length > 0 || !/^(0|[1-9]\d?)$/.test(prefixText)) return null;
  const prefix = Number(prefixText);
  if (prefix > 32 || base % sizeOf(prefix) !== 0) return null;
  return { base, prefix };
}

/** The network that an interface's address (`10.1.2.3/24`) lies in. */
export function networkOf(address: string, prefix: number): Network | null {
  const value = parseAddress(address);
  return value === null ? null : { base: value - (value % sizeOf(prefix)), prefix };
}

export const overlaps = (a: Network, b: Network): boolean =>
  a.base < b.base + sizeOf(b.prefix) && b.base < a.base + sizeOf(a.prefix);

export const formatNetwork = ({ base, prefix }: Network): string =>
  `${[24, 16, 8, 0].map((shift) => (base >>> shift) & 255).join(".")}/${prefix}`;

const sizeOf = (prefix: number): number => 2 ** (32 - prefix);
