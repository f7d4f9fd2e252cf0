import { createHash } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import {
  ENROL_PATH,
  ENVELOPE_CONTENT_TYPE,
  type EnrolRequest,
  enrolmentToken,
  enrolResponse,
  freshClaims,
  importSigningKey,
  keyId,
  publicPart,
  signEnvelope,
} from "../schema/protocol/index.ts";
import type { HostConfig } from "./config.ts";
import { ensureKeys, type HostKeys, type Identity, writeIdentity, writeIngressKey } from "./identity.ts";
import { openJournal } from "./journal.ts";

export const journalPath = (config: HostConfig): string => join(config.stateDir, "journal.db");

const ENROL_TIMEOUT_MS = 15_000;
const problem = z.object({ code: z.string().max(100).optional(), detail: z.string().max(500).optional() });

/**
 * Makes the keys where there are none, shows the public ones and the one-time token to the edge, signed with the private
 * one, and starts the epoch that the edge names. Safe to repeat at any point with a fresh token. Throws one sentence for the operator.
 */
export async function enrol(config: HostConfig, token: string, capacity: Capacity): Promise<Identity> {
  if (!enrolmentToken.safeParse(token).success) throw new Error("this is not an enrolment token (chelar-enrol.…)");
  mkdirSync(config.stateDir, { recursive: true, mode: 0o700 });
  // First of all, since it fails while an agent is at work: its epoch must not end under it.
  const journal = openJournal(journalPath(config));
  try {
    const keys = await ensureKeys(config.stateDir);
    const answer = await ask(config.edgeUrl, keys, {
      token,
      name: config.name,
      region: config.region,
      endpoint: config.endpoint,
      signing: publicPart(keys.signing),
      sealing: publicPart(keys.sealing),
      ingressHash: createHash("sha256").update(keys.ingress).digest("base64url"),
      capacity,
    });
    const identity = { ...keys, ...answer };
    // The order decides what a crash between the two leaves: an identity ahead of its journal, which does not serve.
    writeIdentity(config.stateDir, identity);
    writeIngressKey(config.stateDir, identity);
    journal.adopt(answer, config.uidBase);
    return identity;
  } finally {
    journal.close();
  }
}

export interface Capacity {
  memoryMiB: number;
  diskMiB: number;
  tenants: number;
}

async function ask(edgeUrl: string, { signing }: HostKeys, enrolment: EnrolRequest) {
  const url = `${edgeUrl}${ENROL_PATH}`;
  const kid = await keyId(signing);
  const times = freshClaims(Math.floor(Date.now() / 1_000), crypto.getRandomValues(new Uint8Array(16)));
  // Bound to the edge that was meant: one that stands between cannot show it to another.
  const claims = { ...times, iss: kid, aud: new URL(edgeUrl).origin, epoch: 0 as const, enrolment };
  const body = await signEnvelope("enrolment", claims, { kid, privateKey: await importSigningKey(signing) });
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": ENVELOPE_CONTENT_TYPE },
    body,
    redirect: "error",
    signal: AbortSignal.timeout(ENROL_TIMEOUT_MS),
  }).catch((error: Error) => {
    throw new Error(
      `the edge does not answer at ${url}: ${(error.cause as Error | undefined)?.message ?? error.message}`,
    );
  });
  const answer: unknown = await response.json().catch(() => null);
  if (!response.ok) {
    const { code, detail } = problem.safeParse(answer).data ?? {};
    throw new Error(
      `the edge refuses this host (${response.status} ${code ?? "without a reason"}) ${detail ?? ""}`.trim(),
    );
  }
  const parsed = enrolResponse.safeParse(answer);
  if (!parsed.success) throw new Error(`${url} gave no answer that an edge would give`);
  return parsed.data;
}
