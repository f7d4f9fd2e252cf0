import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from "node:crypto";
import { z } from "zod";

/**
 * scrypt at 16 MiB (OWASP password storage cheat sheet: N=2^14, r=8, p=5), natively through node:crypto. PBKDF2 at a
 * comparable strength throws in production Workers above 100,000 iterations.
 */
const COST = { N: 2 ** 14, r: 8, p: 5 };
const HASH_BYTES = 32;
const FORMAT = z
  .string()
  .regex(/^scrypt\$\d+\$\d+\$\d+\$[0-9a-f]{32}\$[0-9a-f]{64}$/)
  .transform((text) => {
    const [, N, r, p, salt, hash] = text.split("$") as [string, string, string, string, string, string];
    return { cost: { N: Number(N), r: Number(r), p: Number(p) }, salt, hash: Buffer.from(hash, "hex") };
  });

/** The parameters stand in the hash, so that they can be raised without locking anybody out. */
export async function hashPassword(password: string, cost: typeof COST = COST): Promise<string> {
  const salt = randomBytes(16).toString("hex");
  const hash = await derive(password, salt, cost);
  return `scrypt$${cost.N}$${cost.r}$${cost.p}$${salt}$${hash.toString("hex")}`;
}

export async function verifyPassword({ hash, password }: { hash: string; password: string }): Promise<boolean> {
  const stored = FORMAT.safeParse(hash);
  if (!stored.success) return false;
  return timingSafeEqual(await derive(password, stored.data.salt, stored.data.cost), stored.data.hash);
}

function derive(password: string, salt: string, cost: ScryptOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    // NFKC: the same password typed on another keyboard is the same password.
    scrypt(password.normalize("NFKC"), Buffer.from(salt, "hex"), HASH_BYTES, cost, (error, key) =>
      error ? reject(error) : resolve(key),
    );
  });
}
