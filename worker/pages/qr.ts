/**
 * A QR code (ISO/IEC 18004) of one text: byte mode, error correction L, versions 1 to 10, mask 0. Enough for the address
 * that an authenticator app reads off a screen; no picture service is told the secret, and no package is needed.
 */
interface Version {
  number: number;
  size: number;
  /** Bytes of error correction in each block, and blocks. */
  eccPerBlock: number;
  blocks: number;
  /** Bytes in all. */
  codewords: number;
}

const ECC_PER_BLOCK = [7, 10, 15, 20, 26, 18, 20, 24, 30, 18];
const BLOCKS = [1, 1, 1, 1, 1, 2, 2, 2, 2, 4];
const CODEWORDS = [26, 44, 70, 100, 134, 172, 196, 242, 292, 346];
const VERSIONS: readonly Version[] = CODEWORDS.map((codewords, i) => ({
  ...{ number: i + 1, size: 21 + 4 * i, codewords },
  ...{ eccPerBlock: ECC_PER_BLOCK[i] as number, blocks: BLOCKS[i] as number },
}));
/** Centres of the alignment patterns. */
const ALIGNMENT = [[], [6, 18], [6, 22], [6, 26], [6, 30], [6, 34], [6, 22, 38], [6, 24, 42], [6, 26, 46], [6, 28, 50]];

/** The dark modules as one SVG path, with the side length; null when the text is too long. */
export function qrPath(text: string): { path: string; size: number } | null {
  const modules = qrModules(text);
  if (!modules) return null;
  const runs = modules.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : "")));
  return { path: runs.join(""), size: modules.length };
}

/** Rows of modules, true for dark. */
export function qrModules(text: string): boolean[][] | null {
  const bytes = new TextEncoder().encode(text);
  const version = VERSIONS.find((it) => bytes.length + (it.number < 10 ? 2 : 3) <= dataCodewords(it));
  if (!version) return null;
  const { size } = version;
  const modules = Array.from({ length: size }, () => Array<boolean>(size).fill(false));
  const taken = Array.from({ length: size }, () => Array<boolean>(size).fill(false));
  const set = (x: number, y: number, dark: boolean) => {
    if (x < 0 || y < 0 || x >= size || y >= size) return;
    (modules[y] as boolean[])[x] = dark;
    (taken[y] as boolean[])[x] = true;
  };
  drawPatterns(version, set);
  drawData(modules, taken, withCorrection(version, encode(version, bytes)));
  return modules;
}

const dataCodewords = ({ codewords, blocks, eccPerBlock }: Version) => codewords - blocks * eccPerBlock;

function encode(version: Version, bytes: Uint8Array): number[] {
  const capacityBits = dataCodewords(version) * 8;
  const bits: number[] = [];
  const push = (value: number, length: number) => {
    for (let i = length - 1; i >= 0; i--) bits.push((value >>> i) & 1);
  };
  push(0b0100, 4);
  push(bytes.length, version.number < 10 ? 8 : 16);
  for (const byte of bytes) push(byte, 8);
  push(0, Math.min(4, capacityBits - bits.length));
  push(0, (8 - (bits.length % 8)) % 8);
  for (let pad = 0xec; bits.length < capacityBits; pad ^= 0xec ^ 0x11) push(pad, 8);
  return Array.from({ length: bits.length / 8 }, (_, i) =>
    bits.slice(i * 8, i * 8 + 8).reduce((sum, bit) => sum * 2 + bit, 0),
  );
}

/** Blocks one byte of each in turn, first their data and then their correction. The last blocks may be one longer. */
function withCorrection(version: Version, data: readonly number[]): number[] {
  const { blocks, eccPerBlock } = version;
  const short = Math.floor(data.length / blocks);
  const shortBlocks = blocks - (data.length % blocks);
  const parts = Array.from({ length: blocks }, (_, i) => {
    const from = i * short + Math.max(0, i - shortBlocks);
    return data.slice(from, from + short + (i < shortBlocks ? 0 : 1));
  });
  const generator = generatorOf(eccPerBlock);
  const corrections = parts.map((part) => remainder(part, generator));
  const interleaved = (lists: readonly (readonly number[])[], length: number) =>
    Array.from({ length }, (_, i) => lists.flatMap((list) => (i < list.length ? [list[i] as number] : []))).flat();
  return [...interleaved(parts, short + 1), ...interleaved(corrections, eccPerBlock)];
}

/** Product in GF(2^8) modulo x^8 + x^4 + x^3 + x^2 + 1. */
function times(a: number, b: number): number {
  let product = 0;
  for (let i = 7; i >= 0; i--) product = (product << 1) ^ ((product >>> 7) * 0x11d) ^ (((b >>> i) & 1) * a);
  return product;
}

function generatorOf(degree: number): number[] {
  let result = [...Array<number>(degree - 1).fill(0), 1];
  let root = 1;
  for (let i = 0; i < degree; i++) {
    result = result.map((value, j) => times(value, root) ^ (result[j + 1] ?? 0));
    root = times(root, 2);
  }
  return result;
}

function remainder(data: readonly number[], generator: readonly number[]): number[] {
  let result = Array<number>(generator.length).fill(0);
  for (const byte of data) {
    const factor = byte ^ (result[0] as number);
    result = [...result.slice(1), 0].map((value, i) => value ^ times(generator[i] as number, factor));
  }
  return result;
}

function drawPatterns({ number, size }: Version, set: (x: number, y: number, dark: boolean) => void): void {
  for (let i = 0; i < size; i++) {
    set(6, i, i % 2 === 0);
    set(i, 6, i % 2 === 0);
  }
  for (const [cx, cy] of [
    [3, 3],
    [size - 4, 3],
    [3, size - 4],
  ] as const) {
    for (let dy = -4; dy <= 4; dy++) {
      for (let dx = -4; dx <= 4; dx++) {
        const ring = Math.max(Math.abs(dx), Math.abs(dy));
        set(cx + dx, cy + dy, ring !== 2 && ring !== 4);
      }
    }
  }
  const centres = ALIGNMENT[number - 1] ?? [];
  const last = centres.length - 1;
  for (const [i, cx] of centres.entries()) {
    for (const [j, cy] of centres.entries()) {
      const isFinder = (i === 0 && j === 0) || (i === 0 && j === last) || (i === last && j === 0);
      if (isFinder) continue;
      for (let dy = -2; dy <= 2; dy++) {
        for (let dx = -2; dx <= 2; dx++) set(cx + dx, cy + dy, Math.max(Math.abs(dx), Math.abs(dy)) !== 1);
      }
    }
  }
  drawFormat(size, set);
  if (number >= 7) drawVersion(number, size, set);
}

/** Error correction L (01) and mask 0, with its BCH code: the same in every code that is drawn here. */
function drawFormat(size: number, set: (x: number, y: number, dark: boolean) => void): void {
  const format = 0b01000;
  let rest = format;
  for (let i = 0; i < 10; i++) rest = (rest << 1) ^ ((rest >>> 9) * 0x537);
  const bits = ((format << 10) | rest) ^ 0x5412;
  const bit = (i: number) => ((bits >>> i) & 1) === 1;
  for (let i = 0; i <= 5; i++) set(8, i, bit(i));
  set(8, 7, bit(6));
  set(8, 8, bit(7));
  set(7, 8, bit(8));
  for (let i = 9; i < 15; i++) set(14 - i, 8, bit(i));
  for (let i = 0; i < 8; i++) set(size - 1 - i, 8, bit(i));
  for (let i = 8; i < 15; i++) set(8, size - 15 + i, bit(i));
  set(8, size - 8, true);
}

function drawVersion(number: number, size: number, set: (x: number, y: number, dark: boolean) => void): void {
  let rest = number;
  for (let i = 0; i < 12; i++) rest = (rest << 1) ^ ((rest >>> 11) * 0x1f25);
  const bits = (number << 12) | rest;
  for (let i = 0; i < 18; i++) {
    const dark = ((bits >>> i) & 1) === 1;
    const a = size - 11 + (i % 3);
    const b = Math.floor(i / 3);
    set(a, b, dark);
    set(b, a, dark);
  }
}

/** In pairs of columns from the right, upwards and downwards in turn, past what is taken; mask 0 lies over it. */
function drawData(modules: boolean[][], taken: readonly boolean[][], codewords: readonly number[]): void {
  const size = modules.length;
  let at = 0;
  for (let right = size - 1; right >= 1; right -= 2) {
    if (right === 6) right = 5;
    const isUpward = ((right + 1) & 2) === 0;
    for (let step = 0; step < size; step++) {
      const y = isUpward ? size - 1 - step : step;
      for (const x of [right, right - 1]) {
        if (taken[y]?.[x]) continue;
        const bit = ((codewords[at >>> 3] ?? 0) >>> (7 - (at & 7))) & 1;
        at += 1;
        (modules[y] as boolean[])[x] = (bit === 1) !== ((x + y) % 2 === 0);
      }
    }
  }
}
