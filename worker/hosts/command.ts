import {
  type Command,
  importSealingKey,
  keyId,
  type SealedSecrets,
  sealingJwk,
  sealSecrets,
} from "../../schema/protocol/index.ts";
import { channelsOf, keptFromAgent, MESSAGE_KEY } from "../channels/rules.ts";
import { keepingOf, VOLUME_KEY } from "../data/rules.ts";
import { type Config, tenantHostnameOf, tenantOriginOf } from "../env.ts";
import { limitsOf, sleepOf, snapshotsOf } from "../tenants/index.ts";
import { type Envelope, tenantKeys } from "../vault/index.ts";
import { modelFor, variableFor } from "../vault/rules.ts";
import type { HostRow, TenantRow } from "./store.ts";

type SecretRow = Envelope & { name: string; version: number };

export interface Sources {
  tenant: TenantRow;
  secrets: readonly SecretRow[];
  salt: string | null;
  /** What it is to run from; null: what its host makes. */
  image: string | null;
  /** What is wanted of its data; null: nothing but the plan. */
  wishes: Parameters<typeof keepingOf>[1];
  /** Its channels, each with each of those who are heard. */
  channels: Parameters<typeof channelsOf>[1];
}

export type CommandConfig = Pick<Config, "dashboardOrigin" | "tenants" | "vaultKeys" | "providersAt" | "sleep">;

/** The newest word about one tenant, or which of its secrets cannot be read. */
export async function buildCommand(
  { tenant, secrets, salt, image, wishes, channels }: Sources,
  host: Pick<HostRow, "sealingKey">,
  { vaultKeys: ring, tenants: origins, ...config }: CommandConfig,
): Promise<{ ok: true; command: Command } | { ok: false; reason: "secret_unreadable" }> {
  const { id, slug, ownerId, runtime, plan, generation, desired, restarts } = tenant;
  if (desired === "deleted") return { ok: true, command: { type: "tenant.purge", tenantId: id, generation } };

  const env: SealedSecrets["env"] = {};
  let volumeKey: string | undefined;
  const kept = keptFromAgent(runtime, channels);
  const keys = tenantKeys(ring, id, salt);
  for (const row of secrets) {
    const opened = await keys.open(row, row);
    if (!opened.ok) return opened;
    if (row.name === VOLUME_KEY) volumeKey = opened.secret.reveal();
    // What people wrote is the edge's to keep, until it hands it over.
    else if (row.name !== MESSAGE_KEY && !kept.has(row.name)) {
      const variable = variableFor(row.name, runtime);
      if (variable !== null) env[variable] = opened.secret.reveal();
    }
  }
  const secretsJwe = secrets.length > 0 ? await sealFor(host, { tenantId: id, generation, env, volumeKey }) : null;
  const command: Command = {
    type: "tenant.apply",
    tenant: {
      id,
      slug,
      hostname: tenantHostnameOf(origins, slug),
      origin: tenantOriginOf(origins, slug),
      ownerId,
      runtime,
      limits: limitsOf(runtime, plan),
      sleep: sleepOf(runtime, plan, config.sleep),
      data: keepingOf(snapshotsOf(plan), wishes),
      channels: channelsOf(runtime, channels, config),
      image: image ?? undefined,
      model: modelFor(secrets.map(({ name }) => name)),
    },
    generation,
    desired,
    restarts,
    secretsJwe,
  };
  return { ok: true, command };
}

/** Decrypted only here, only to be sealed to the one host that needs it. */
async function sealFor(host: Pick<HostRow, "sealingKey">, secrets: SealedSecrets): Promise<string> {
  const jwk = sealingJwk.parse(JSON.parse(host.sealingKey));
  return sealSecrets(secrets, { kid: await keyId(jwk), publicKey: await importSealingKey(jwk) });
}
