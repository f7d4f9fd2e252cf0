import { z } from "zod";
import { hostId, publicKeyset } from "./commands.ts";
import { sealingJwk, signingJwk } from "./keys.ts";

/** A one-time token, valid for minutes, shown once to the operator: `tok_…` is a name, not the secret. */
export const enrolmentToken = z.string().regex(/^chelar-enrol\.[A-Za-z0-9_-]{43}$/);

/**
 * What a host shows at `POST /api/hosts/enrol`, inside an envelope that it signs with `signing`: its token and its public
 * keys. Its private keys never leave it.
 */
export const enrolRequest = z.strictObject({
  token: enrolmentToken,
  name: z.string().regex(/^[a-z][a-z0-9-]{1,40}$/),
  region: z.string().regex(/^[a-z]{2,16}$/),
  /** Where the edge reaches the host's ingress. */
  endpoint: z.url({ protocol: /^https?$/ }).max(300),
  signing: signingJwk,
  sealing: sealingJwk,
  /** base64url SHA-256 of what the host's ingress says to be believed about its visitors: the secret stays on the host. */
  ingressHash: z
    .string()
    .regex(/^[A-Za-z0-9_-]{43}$/)
    .optional(),
  capacity: z.strictObject({
    memoryMiB: z.int().min(0),
    diskMiB: z.int().min(0),
    tenants: z.int().min(0).max(4_000),
  }),
});
export type EnrolRequest = z.infer<typeof enrolRequest>;

export const enrolResponse = z.strictObject({
  hostId,
  epoch: z.int().min(1),
  /** `iss` of commands and `aud` of reports. */
  edge: z.string().min(1).max(200),
  keyset: publicKeyset,
});
export type EnrolResponse = z.infer<typeof enrolResponse>;

/** Paths that both sides agree on. */
export const COMMAND_PATH = "/.chelar/commands";
/** For the archive of one agent's files. */
export const DOWNLOAD_PATH = "/.chelar/files";
export const REPORT_PATH = "/api/hosts/reports";
export const ENROL_PATH = "/api/hosts/enrol";
export const ENVELOPE_CONTENT_TYPE = "application/jose";
