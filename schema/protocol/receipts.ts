import { CompactSign, type CryptoKey, compactVerify } from "jose";
import { z } from "zod";
import { generation, hostId, tenantId } from "./commands.ts";

/**
 * The proof of a deletion: two compact JWS (RFC 7515), Ed25519. The host signs what it has looked at, the edge signs the
 * whole with the host's words inside. They do not expire, and hold nothing secret: any JOSE tool verifies them with the
 * published keys. Their `typ` is no envelope's, so that none can be taken for a command or a report.
 */
export const MAX_RECEIPT_BYTES = 16_384;

/** Milliseconds since the epoch. */
const at = z.int().min(0).max(8_640_000_000_000_000);
const sentence = z.string().min(1).max(300);

/** One thing that was done, and what was seen afterwards by looking. */
export const deletionStep = z.strictObject({ step: z.string().regex(/^[a-z_]{1,32}$/), at, checked: sentence });
export type DeletionStep = z.infer<typeof deletionStep>;
/** What is still there, and until when; `until` null: for good. */
export const deletionRest = z.strictObject({ what: sentence, until: at.nullable() });
export type DeletionRest = z.infer<typeof deletionRest>;

const kinds = {
  host: {
    typ: "chelar-deletion+jwt",
    payload: z.strictObject({
      iss: hostId,
      sub: tenantId,
      /** Seconds, as in every JWT. */
      iat: z.int(),
      generation,
      steps: z.array(deletionStep).min(1).max(24),
      remains: z.array(deletionRest).max(8),
    }),
  },
  edge: {
    typ: "chelar-receipt+jwt",
    payload: z.strictObject({
      iss: z.string().max(300),
      sub: tenantId,
      iat: z.int(),
      /** The agent's name. */
      name: z.string().max(64),
      askedAt: at,
      /** The host's own compact JWS; null where it is lost, and what it held is not proven to be gone. */
      host: z.string().max(MAX_RECEIPT_BYTES).nullable(),
      steps: z.array(deletionStep).min(1).max(24),
      remains: z.array(deletionRest).max(8),
    }),
  },
  /** A whole account: its agents by the receipts that they have, and what was done with the rest. */
  account: {
    typ: "chelar-account+jwt",
    payload: z.strictObject({
      iss: z.string().max(300),
      /** The account's id. */
      sub: z.string().min(1).max(64),
      iat: z.int(),
      askedAt: at,
      /** `receipt`: base64url SHA-256 of the agent's own. */
      agents: z
        .array(z.strictObject({ id: tenantId, name: z.string().max(64), receipt: z.string().length(43) }))
        .max(500),
      steps: z.array(deletionStep).min(1).max(24),
      remains: z.array(deletionRest).max(8),
    }),
  },
} as const;
export type StatementKind = keyof typeof kinds;
export type Statement<K extends StatementKind> = z.infer<(typeof kinds)[K]["payload"]>;

export async function signStatement<K extends StatementKind>(
  kind: K,
  statement: Statement<K>,
  key: { kid: string; privateKey: CryptoKey },
): Promise<string> {
  const { typ, payload } = kinds[kind];
  return new CompactSign(new TextEncoder().encode(JSON.stringify(payload.parse(statement))))
    .setProtectedHeader({ alg: "EdDSA", typ, kid: key.kid })
    .sign(key.privateKey);
}

/** Null for whatever is wrong with it: size, header, key, signature, shape. `keys`: public ones, by kid. */
export async function verifyStatement<K extends StatementKind>(
  kind: K,
  compact: string,
  keys: ReadonlyMap<string, CryptoKey>,
): Promise<{ statement: Statement<K>; kid: string } | null> {
  if (compact.length > MAX_RECEIPT_BYTES * (kind === "account" ? 6 : 2)) return null;
  let kid = "";
  try {
    const { payload, protectedHeader } = await compactVerify(
      compact,
      (header) => {
        kid = header.kid ?? "";
        const key = keys.get(kid);
        if (!key) throw new Error("no such key");
        return key;
      },
      { algorithms: ["EdDSA"] },
    );
    if (protectedHeader.typ !== kinds[kind].typ) return null;
    const statement = kinds[kind].payload.parse(JSON.parse(new TextDecoder().decode(payload))) as Statement<K>;
    return { statement, kid };
  } catch {
    return null;
  }
}
