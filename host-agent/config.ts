import { readFileSync } from "node:fs";
import { z } from "zod";
import { enrolRequest, runtimeName } from "../schema/protocol/index.ts";
import { type PerimeterInputsGiven, parsePerimeter } from "./firewall/index.ts";
import { copiesSettings, storageSettings } from "./storage/index.ts";
import { parsePool } from "./tenants/layout.ts";

const absolutePath = z
  .string()
  .regex(/^\/[\w./-]+$/, "an absolute path of letters, digits, dots, hyphens")
  .refine((path) => !path.split("/").includes(".."), "a path without ..");
/** sockaddr_un holds 108 bytes, and the longest name that is put under runDir is `/agent.sock`. */
const MAX_RUN_DIR_CHARACTERS = 90;
/** One inventory names every tenant and has to fit one 64 KiB envelope. */
const MAX_TENANTS = 500;

const poolCidr = z.string().superRefine((pool, context) => {
  try {
    parsePool(pool);
  } catch (error) {
    context.addIssue({ code: "custom", message: (error as Error).message });
  }
});

const perimeter = z.custom<PerimeterInputsGiven>().superRefine((given, context) => {
  const parsed = parsePerimeter(given);
  for (const message of parsed.ok ? [] : parsed.refusals) context.addIssue({ code: "custom", message });
});

/** The operator's file. Everything in it may be read by anyone: keys are in the identity file. */
export const hostConfig = z.strictObject({
  /** Journal, identity, volumes and configuration of tenants; root-only; on a disk that fsyncs. */
  stateDir: absolutePath,
  /** The agent's socket and, on a memory-backed filesystem, environment files. */
  runDir: absolutePath.refine(
    (path) => path.length <= MAX_RUN_DIR_CHARACTERS,
    `at most ${MAX_RUN_DIR_CHARACTERS} characters`,
  ),
  edgeUrl: z.url({ protocol: /^https?$/ }).transform((url) => url.replace(/\/+$/, "")),
  dockerSocket: absolutePath.default("/var/run/docker.sock"),
  /** Addresses of containers: a /28 each. Must not overlap a network that this host uses. */
  pool: poolCidr.default("10.213.0.0/16"),
  /** The only name servers that a container may ask. */
  resolvers: z.array(z.ipv4()).min(1).max(4),
  /** The first UID given to a tenant. */
  uidBase: z.int().min(100_000).max(1_000_000_000).default(200_000),
  name: enrolRequest.shape.name,
  region: enrolRequest.shape.region,
  endpoint: enrolRequest.shape.endpoint,
  maxTenants: z.int().min(1).max(MAX_TENANTS).default(200),
  /** Networks that are made before a tenant asks for one. */
  spareNetworks: z.int().min(0).max(16).default(2),
  /** What tenants may take together; all of the machine's memory where it is not given. */
  memoryMiB: z.int().min(256).optional(),
  /** Images that are built at start and not only when a tenant first needs them. */
  prebuild: z.array(runtimeName).default([]),
  /** Finished image archives are kept here for other engines of the same machine, instead of being built again. */
  imageCacheDir: absolutePath.optional(),
  /** Who may reach this host from outside: the second wall (UFW) is the agent's to keep. Absent: UFW is never touched. */
  perimeter: perimeter.optional(),
  /** Where tenants' ciphertext lies; a btrfs file in the state directory where it is not given. */
  storage: storageSettings.optional(),
  /** Object storage for copies of tenants' ciphertext; none where it is not given. */
  copies: copiesSettings.optional(),
  /** Where Caddy keeps its certificates. */
  ingressDir: absolutePath.default("/var/lib/chelar-ingress"),
  /** The first wall stands at the provider; set by the operator's hand, since no host holds a key to it. */
  cloudWall: z.boolean().default(false),
  /** Group that may connect to the agent's socket (Caddy's), where Caddy does not run as root. */
  socketGroupId: z.int().min(0).optional(),
});
export type HostConfig = z.infer<typeof hostConfig>;

/** Reads and checks the file; throws one sentence per wrong field, with what is accepted. */
export function readConfig(path: string): HostConfig {
  const text = readText(path);
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    throw new Error(`config ${path} is not JSON`);
  }
  const parsed = hostConfig.safeParse(raw);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map((issue) => `${issue.path.join(".") || "(file)"}: ${issue.message}`);
  throw new Error(`config ${path} is refused: ${faults.join("; ")}`);
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new Error(`config ${path} cannot be read: ${(error as NodeJS.ErrnoException).code}`);
  }
}
