import {
  type DeletionRest,
  type DeletionStep,
  importSigningKey,
  keyId,
  signStatement,
} from "../schema/protocol/index.ts";
import type { Identity } from "./identity.ts";
import type { TenantRecord } from "./journal.ts";

/** What a host keeps of everybody whom it has deleted: without it, an old command could bring them back. */
const TOMBSTONE: DeletionRest = {
  what: "the agent's id, its last generation and the number of its former user, so that neither is ever used again",
  until: null,
};

/** Signs a deletion with this host's own key: what was looked at, when, and what was seen. */
export function createTestimony({ identity, nowMs }: { identity: Identity; nowMs: () => number }) {
  return async (
    { id, generation }: Pick<TenantRecord, "id" | "generation">,
    steps: readonly DeletionStep[],
  ): Promise<string> => {
    const key = { kid: await keyId(identity.signing), privateKey: await importSigningKey(identity.signing) };
    const iat = Math.floor(nowMs() / 1_000);
    const statement = { iss: identity.hostId, sub: id, iat, generation, steps: [...steps], remains: [TOMBSTONE] };
    return signStatement("host", statement, key);
  };
}
