import { envelopeVectors, jsonVectors, signatureVectors, sizeVectors } from "./bytes.ts";
import { audienceVectors, timeVectors } from "./context.ts";
import type { Vector } from "./forge.ts";
import { algorithmVectors, headerVectors, kidVectors, typVectors } from "./header.ts";
import {
  ackVectors,
  answerVectors,
  claimVectors,
  commandVectors,
  enrolmentVectors,
  keysetVectors,
  versionVectors,
} from "./messages.ts";

export * from "./bytes.ts";
export * from "./forge.ts";
export * from "./samples.ts";

/** Every message that must be refused, by what it attacks. */
export const NEGATIVE_VECTORS: Record<string, readonly Vector[]> = {
  time: timeVectors,
  "audience, issuer and epoch": audienceVectors,
  "integrity of the envelope": envelopeVectors,
  "integrity of the signature": signatureVectors,
  "integrity of the JSON": jsonVectors,
  algorithm: algorithmVectors,
  typ: typVectors,
  kid: kidVectors,
  header: headerVectors,
  size: sizeVectors,
  "protocol version": versionVectors,
  claims: claimVectors,
  commands: commandVectors,
  keysets: keysetVectors,
  "reports and results": answerVectors,
  acknowledgements: ackVectors,
  enrolments: enrolmentVectors,
};
