import { z } from "zod";
import { controlPlane } from "./control-plane.ts";
import { idPattern } from "./ids.ts";
import { signingJwk } from "./keys.ts";
import { refuseSlug } from "./names.ts";

/**
 * What the edge may tell a host. Commands carry the desired state with a generation and never a verb to
 * replay: applying the same generation twice is success, an older one is refused.
 */
export const PROTOCOL_VERSION = 1;

export const RUNTIMES = ["openclaw", "echo", "zeroclaw", "custom"] as const;
/** Made by the platform itself. Of the others an image runs that the operator has allowed. */
export const BUILT_RUNTIMES = ["openclaw", "echo"] as const satisfies readonly RuntimeName[];
export const isBuilt = (runtime: RuntimeName): runtime is BuiltRuntime =>
  (BUILT_RUNTIMES as readonly RuntimeName[]).includes(runtime);
export type BuiltRuntime = (typeof BUILT_RUNTIMES)[number];
export const runtimeName = z.enum(RUNTIMES);
export type RuntimeName = z.infer<typeof runtimeName>;

/** By digest: a tag can be moved under us, and then the registry decides what runs. */
export const imageReference = z
  .string()
  .max(300)
  .regex(/^[a-z0-9][a-z0-9.:/_-]*@sha256:[0-9a-f]{64}$/);

export const tenantId = z.string().regex(idPattern("tnt"));
export const hostId = z.string().regex(idPattern("hst"));
export const generation = z.int().min(1).max(Number.MAX_SAFE_INTEGER);

const hostname = z
  .string()
  .max(253)
  .regex(/^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/);

/** Scheme, host and port as a browser's `Origin` spells them: no path, no credentials, no script. */
const webOrigin = z
  .string()
  .max(300)
  .refine((text) => URL.canParse(text) && /^https?:/.test(text) && new URL(text).origin === text);

/** Hard limits of one tenant, enforced by kernel or gate. */
export const tenantLimits = z.strictObject({
  memoryMiB: z.int().min(32).max(65_536),
  /** Thousandths of a CPU. */
  cpuMillis: z.int().min(50).max(64_000),
  /** Processes and threads together. */
  pids: z.int().min(16).max(4_096),
  diskMiB: z.int().min(16).max(1_048_576),
  tmpMiB: z.int().min(1).max(4_096),
  shmMiB: z.int().min(1).max(1_024),
  requestsPerMinute: z.int().min(1).max(1_000_000),
  /** Requests and WebSockets that are open at the same time; absent: not limited. */
  openConnections: z.int().min(1).max(10_000).optional(),
  /** All that leaves it in a day (UTC), answers to its visitors included; absent: not limited. */
  egressMiBPerDay: z.int().min(1).max(1_048_576).optional(),
});
export type TenantLimits = z.infer<typeof tenantLimits>;

/** Seconds without a visitor and without work of its own. A depth that is absent is never reached. */
export const sleepPolicy = z.strictObject({
  /** Frozen: its memory is kept, it wakes within milliseconds. */
  pauseAfterSeconds: z.int().min(1).max(604_800).optional(),
  /** Ended: nothing is kept but its volume, and that is closed. */
  stopAfterSeconds: z.int().min(1).max(604_800).optional(),
});
export type SleepPolicy = z.infer<typeof sleepPolicy>;

/** A snapshot's name is its time: `20261122T104501Z`. */
export const snapshotName = z.string().regex(/^\d{8}T\d{6}Z$/);

/** How a tenant's data is kept, and whether it is to become what it was. */
export const tenantData = z.strictObject({
  snapshotMinutes: z.int().min(1).max(44_640),
  /** How many are kept; the oldest goes first. */
  snapshots: z.int().min(0).max(64),
  /** Between copies in object storage, where the host has one. */
  backupMinutes: z.int().min(1).max(44_640),
  /** Rises when a copy is asked for besides. */
  backups: z.int().min(0),
  /** Carried out once per number, before the agent is started. */
  restore: z.strictObject({ number: z.int().min(1), from: z.union([snapshotName, z.literal("backup")]) }).nullable(),
});
export type TenantData = z.infer<typeof tenantData>;

/** What a runtime has to know of its channels. Their keys are among its secrets. */
export const tenantChannels = z.strictObject({
  telegram: z
    .strictObject({
      /** Where Telegram sends to: the edge's inbox. The runtime registers it itself at each start. */
      webhookUrl: z.url({ protocol: /^https?$/ }).max(300),
      /** Who is heard, by numeric id; never a name, which anybody may take. */
      allowFrom: z.array(z.int().min(1)).max(100),
      /** Of the Bot API, where it is not Telegram's own. */
      apiRoot: webOrigin.optional(),
    })
    .optional(),
});
export type TenantChannels = z.infer<typeof tenantChannels>;

export const tenantSpec = z.strictObject({
  id: tenantId,
  slug: z.string().refine((slug) => refuseSlug(slug) === null),
  /** The full name a browser uses, without a port. */
  hostname,
  /** Origin of the tenant as the browser sees it (scheme, host, port): what a WebSocket's Origin must be. */
  origin: webOrigin,
  /** The only person whom the runtime will see as its owner. */
  ownerId: z
    .string()
    .min(1)
    .max(64)
    .regex(/^[A-Za-z0-9_-]+$/),
  runtime: runtimeName,
  limits: tenantLimits,
  /** Absent: no snapshots, no copies. */
  data: tenantData.optional(),
  /** Absent: it never sleeps. */
  sleep: sleepPolicy.optional(),
  /** Absent: it has none. */
  channels: tenantChannels.optional(),
  /** What it runs from; absent: what its host makes of this runtime. */
  image: imageReference.optional(),
  /** `provider/model` that it thinks with; absent: whatever the runtime takes by itself. */
  model: z
    .string()
    .max(120)
    .regex(/^[a-z0-9-]+\/[A-Za-z0-9._:/-]+$/)
    .optional(),
});
export type TenantSpec = z.infer<typeof tenantSpec>;

export const desiredState = z.enum(["running", "suspended", "stopped"]);
export type DesiredState = z.infer<typeof desiredState>;

/** A public command key as the host keeps it: Ed25519, `x` as in RFC 8037. */
export const kid = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/);
export const keysetVersion = z.int().min(1);
export const publicCommandKey = z.strictObject({
  kid,
  x: signingJwk.shape.x,
});
export const publicKeyset = z.strictObject({
  version: keysetVersion,
  /** Two keys of one kid would leave it to the order of a list which of them verifies. */
  keys: z
    .array(publicCommandKey)
    .min(1)
    .max(4)
    .refine((keys) => new Set(keys.map(({ kid }) => kid)).size === keys.length),
});
export type PublicKeyset = z.infer<typeof publicKeyset>;
/** Which command keys a host would believe now, in its own words. */
export const heldKeyset = z.strictObject({ version: keysetVersion, kids: z.array(kid).min(1).max(4) });
export type HeldKeyset = z.infer<typeof heldKeyset>;

export const tenantApply = z.strictObject({
  type: z.literal("tenant.apply"),
  tenant: tenantSpec,
  generation,
  desired: desiredState,
  /**
   * Rises when the owner asks for a restart: an equal number never restarts a healthy container.
   */
  restarts: z.int().min(0),
  /** Compact JWE of {@link sealedSecrets} for this host, or null when the tenant has none. */
  secretsJwe: z.string().max(32_768).nullable(),
});
export type TenantApply = z.infer<typeof tenantApply>;

/** The plaintext inside `secretsJwe`; names the tenant so that it cannot be moved to another one. */
export const sealedSecrets = z.strictObject({
  tenantId,
  generation,
  /** No value holds a NUL: execve would end it there, and the runtime would see another secret than the owner set. */
  env: z.record(
    z.string().regex(/^[A-Z][A-Z0-9_]{0,63}$/),
    z
      .string()
      .min(1)
      .max(8_192)
      .regex(/^[^\0]*$/),
  ),
  /** 256 random bits in base64url that open the tenant's volume. The host keeps it sealed, as part of this. */
  volumeKey: z
    .string()
    .regex(/^[A-Za-z0-9_-]{43}$/)
    .optional(),
});
export type SealedSecrets = z.infer<typeof sealedSecrets>;

export const tenantPurge = z.strictObject({
  type: z.literal("tenant.purge"),
  tenantId,
  generation,
  /** It lives on another host now: its copies in object storage are that one's, and it may come back. */
  moved: z.literal(true).optional(),
});

/**
 * Ends what the edge does not know: visitors and container go, the data stays. Not a purge, since the edge's database may
 * be an older copy that has forgotten an owner. An apply of a higher generation brings it back.
 */
export const tenantHalt = z.strictObject({
  type: z.literal("tenant.halt"),
  tenantId,
  generation,
});

/** The desired state of the host itself; like a tenant's, whole each time and with a generation of its own. */
export const hostApply = z.strictObject({
  type: z.literal("host.apply"),
  generation,
  keyset: publicKeyset,
  /** Absent where the edge has not been told its own addresses: then nothing is known, and nothing is changed. */
  controlPlane: controlPlane.optional(),
});
export type HostApply = z.infer<typeof hostApply>;

/** Something that a host has and its journal knows nothing of: of an agent by its id, or a host name's certificate. */
export const leftover = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.enum(["directory", "copies"]), name: tenantId }),
  z.strictObject({ kind: z.literal("certificate"), name: hostname }),
]);
export type Leftover = z.infer<typeof leftover>;

/** What is to go, since it is nobody's here either. Never anything of an agent that the host's journal knows. */
export const hostReap = z.strictObject({ type: z.literal("host.reap"), items: z.array(leftover).min(1).max(200) });
export type HostReap = z.infer<typeof hostReap>;

/** Asks for a fresh inventory report. */
export const hostProbe = z.strictObject({ type: z.literal("host.probe") });

export const command = z.discriminatedUnion("type", [
  tenantApply,
  tenantPurge,
  tenantHalt,
  hostApply,
  hostReap,
  hostProbe,
]);
export type Command = z.infer<typeof command>;
