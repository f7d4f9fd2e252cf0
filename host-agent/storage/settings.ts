import { z } from "zod";

const absolutePath = z
  .string()
  .regex(/^\/[\w./-]+$/, "an absolute path of letters, digits, dots, hyphens")
  .refine((path) => !path.split("/").includes(".."), "a path without ..");

/** Where tenants' ciphertext lies. Encryption is not a setting. */
export const storageSettings = z.discriminatedUnion("backing", [
  z.strictObject({
    backing: z.literal("btrfs"),
    /** A partition with btrfs on it; a sparse file in the state directory where it is not given. */
    device: absolutePath.optional(),
    /** Of that file, when it is made. */
    sizeMiB: z.int().min(256).max(67_108_864).optional(),
  }),
  z.strictObject({
    backing: z.literal("mounted"),
    /** On a file system that the operator keeps mounted. Ours alone, root's, mode 0700. */
    directory: absolutePath,
  }),
]);
export type StorageSettings = z.infer<typeof storageSettings>;
