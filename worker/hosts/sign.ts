import {
  type Claims,
  freshClaims,
  type HeldKeyset,
  importSigningKey,
  signEnvelope,
} from "../../schema/protocol/index.ts";
import type { World } from "../clock.ts";
import { type CommandKeys, signingKeyFor } from "../command-keys.ts";

type Body<K extends "command" | "ack" | "download"> = Pick<Claims<K>, K & keyof Claims<K>>;

/** Signs one message for one host, with a key that it knows. */
export async function signFor<K extends "command" | "ack" | "download">(
  kind: K,
  host: { id: string; epoch: number; keyset: HeldKeyset | null },
  body: Body<K>,
  { world, edge, keys }: { world: World; edge: string; keys: CommandKeys },
): Promise<string> {
  const { kid, ...jwk } = signingKeyFor(keys, host.keyset);
  const claims = {
    ...freshClaims(Math.floor(world.now() / 1000), world.random(16)),
    iss: edge,
    aud: host.id,
    epoch: host.epoch,
    ...body,
  };
  return signEnvelope(kind, claims as unknown as Claims<K>, { kid, privateKey: await importSigningKey(jwk) });
}
