/** Time and randomness, handed to whoever needs them. */
export interface World {
  /** Milliseconds since the epoch. */
  now(): number;
  random(bytes: number): Uint8Array<ArrayBuffer>;
  sleep(ms: number): Promise<void>;
}

export const realWorld: World = {
  now: () => Date.now(),
  random: (bytes) => crypto.getRandomValues(new Uint8Array(bytes)),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};
