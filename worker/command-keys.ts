import { z } from "zod";
import {
  type HeldKeyset,
  keysetVersion,
  kid,
  type PublicKeyset,
  privateSigningJwk,
  publicCommandKey,
} from "../schema/protocol/index.ts";

const commandKey = privateSigningJwk.extend({ kid });
type CommandKey = z.infer<typeof commandKey>;

/** One binding: private keys, the one that signs, and a version that only ever rises. */
export const commandKeys = z
  .strictObject({ version: keysetVersion, current: z.string(), keys: z.array(commandKey).min(1).max(2) })
  .refine(({ current, keys }) => keys.some((key) => key.kid === current))
  .refine(({ keys }) => new Set(keys.map((key) => key.kid)).size === keys.length);

/** `next` is null unless the key is being rotated. */
export interface CommandKeys extends z.infer<typeof commandKeys> {
  next: string | null;
}

/**
 * COMMAND_KEYS and COMMAND_KEYS_NEXT as one keyset. A next one that is not newer is left from a rotation that is over:
 * whoever was interrupted between writing the one secret and deleting the other has lost nothing.
 */
export function withNext(
  now: z.infer<typeof commandKeys>,
  next: z.infer<typeof commandKeys> | undefined,
): CommandKeys | null {
  if (!next || next.version <= now.version) return { ...now, next: null };
  const keys = [...now.keys, ...next.keys.filter((key) => now.keys.every((known) => known.kid !== key.kid))];
  return keys.length > 4 ? null : { version: next.version, current: now.current, next: next.current, keys };
}

export const publicKeysetOf = ({ version, keys }: CommandKeys): PublicKeyset => ({
  version,
  keys: keys.map(({ kid, x }) => publicCommandKey.parse({ kid, x })),
});

export const heldOf = ({ version, keys }: PublicKeyset): HeldKeyset => ({ version, kids: keys.map(({ kid }) => kid) });

/**
 * The key that this host believes: the next one as soon as it has said that it knows it, the current one until then. Of
 * a host that knows none of ours, as far as we remember, the current one is the best guess: our database may be the
 * older copy.
 */
export function signingKeyFor({ current, next, keys }: CommandKeys, held: HeldKeyset | null): CommandKey {
  const order = [next, current, ...keys.map((key) => key.kid)];
  const chosen = order.find((kid) => kid !== null && held?.kids.includes(kid)) ?? current;
  return keys.find((key) => key.kid === chosen) as CommandKey;
}
