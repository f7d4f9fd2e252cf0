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

/** Object storage that speaks S3; the keys are in a file of their own, since the configuration may be read by anyone. */
export const copiesSettings = z.strictObject({
  endpoint: z.url({ protocol: /^https?$/ }).transform((url) => url.replace(/\/+$/, "")),
  region: z
    .string()
    .regex(/^[a-z0-9-]{1,40}$/)
    .default("eu-central-1"),
  bucket: z.string().regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/),
  /** JSON `{"accessKeyId","secretAccessKey"}`, root's, mode 600. */
  credentialsFile: absolutePath,
});
export type CopiesSettings = z.infer<typeof copiesSettings>;
export const copiesCredentials = z.strictObject({
  accessKeyId: z.string().min(1).max(200),
  secretAccessKey: z.string().min(1).max(200),
});
