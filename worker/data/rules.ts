import { toBase64url } from "../../schema/protocol/index.ts";
import { Secret } from "../vault/rules.ts";

/** No environment variable can have this name, so it never reaches a container; no owner can write it. */
export const VOLUME_KEY = "chelar.volume";

/** Made once, with the agent; sealed like every other secret, and destroyed with them. */
export const freshVolumeKey = (random: (bytes: number) => Uint8Array) => ({
  name: VOLUME_KEY,
  secret: new Secret(toBase64url(random(32))),
});

export const isOwners = ({ name }: { name: string }): boolean => name !== VOLUME_KEY;
