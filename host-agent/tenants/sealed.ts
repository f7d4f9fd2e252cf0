import type { CryptoKey } from "jose";
import { openSecrets, type SealedSecrets } from "../../schema/protocol/index.ts";
import type { TenantRecord } from "../journal.ts";
import { StepError } from "./ports.ts";

/** Opens what came sealed with a tenant's command. For another generation means that its owner has replaced it since. */
export async function openSealed(
  { id, generation, secretsJwe }: Pick<TenantRecord, "id" | "generation" | "secretsJwe">,
  sealingKey: CryptoKey,
): Promise<Pick<SealedSecrets, "env" | "volumeKey">> {
  if (secretsJwe === null) return { env: {} };
  const secrets = await openSecrets(secretsJwe, sealingKey, id);
  if (secrets?.generation === generation) return secrets;
  throw new StepError("The agent's secrets could not be read. Save them again.", { retryable: false });
}
