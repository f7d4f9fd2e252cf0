import { randomBytes } from "node:crypto";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { toBase64url } from "../schema/protocol/index.ts";
import { fingerprintOf } from "../worker/vault/envelope.ts";
import { type Keyring, parseKeyring, ringText } from "../worker/vault/rules.ts";
import { type Operator, openOperator } from "./operator.ts";
import { defaultDir } from "./running.ts";
import { changeSecrets, readSecrets } from "./secrets.ts";
import { Refusal } from "./system.ts";
import { nextStep, type RotationStep, ringAfter, type VaultStatus, withNewKey } from "./vault-rotation.ts";

const USAGE = `npm run vault -- status [--json]                 which secrets are under which key, and what to do about it
  npm run vault -- rotate                         a new key, every secret under it, the old one destroyed
  For an edge elsewhere: --edge URL --keyring FILE, where FILE (0600) holds what VAULT_KEYS is there.`;

const ROWS_PER_CALL = 500;
const POLL_MS = 500;

/** Where the ring is kept: never at the edge, which cannot be asked for it. */
export interface RingStore {
  read(): string;
  write(text: string): void;
  /** Said once after each change; null where the edge takes it by itself. */
  deploy: string | null;
}

export async function vaultCommand(args: string[]): Promise<number> {
  const { values, positionals } = parse(args);
  const { edge, keyring, dir = defaultDir } = values;
  const [verb, ...more] = positionals;
  if (more.length > 0) throw new Refusal(USAGE);
  const operatorOf = () => openOperator({ dir, edge: edge ?? null });
  switch (verb) {
    case "status":
      return status(operatorOf(), values.json === true);
    case "rotate": {
      if (edge !== undefined && keyring === undefined) {
        throw new Refusal(
          "the ring of an edge elsewhere is needed: --keyring FILE. It cannot be read back from there.",
        );
      }
      const waitSeconds = Number(values.wait);
      if (!Number.isInteger(waitSeconds) || waitSeconds < 1) throw new Refusal("--wait takes a number of seconds.");
      return rotate(operatorOf().vault, keyring === undefined ? localRing(dir) : fileRing(keyring), {
        waitSeconds,
        say: console.log,
      });
    }
    default:
      throw new Refusal(USAGE);
  }
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        edge: { type: "string" },
        keyring: { type: "string" },
        dir: { type: "string" },
        json: { type: "boolean" },
        wait: { type: "string", default: "600" },
      },
    });
  } catch {
    throw new Refusal(USAGE);
  }
}

async function status(operator: Operator, json: boolean): Promise<number> {
  const seen = await operator.vault.status();
  if (json) console.log(JSON.stringify(seen, null, 2));
  else console.log(describeStatus(seen).join("\n"));
  return seen.warnings.length > 0 ? 1 : 0;
}

export function describeStatus({ current, floor, keys, stale, warnings }: VaultStatus): string[] {
  const rows = keys.map(({ version, fingerprint, secrets, wraps, erased }) => {
    const role = version === current ? "current" : version < floor ? "below the floor" : "older";
    return `key ${version}  ${fingerprint ?? "not there"}  ${role}: ${secrets} secrets, ${wraps} wraps, ${erased} erased agents`;
  });
  const todo = stale > 0 ? [`${stale} secrets are to be rewrapped: npm run vault -- rotate`] : [];
  const copies = keys.some(({ erased }) => erased > 0)
    ? ["Copies of the database from before an agent was erased open until the key of that time is retired."]
    : [];
  return [...rows, ...todo, ...copies, ...warnings];
}

const SAID: Readonly<Record<RotationStep["step"], string>> = {
  deploy: "     The edge gets the ring …",
  settled: "Done: everything is under one key, and the older one is gone.",
  promote: "2/6  The new key becomes current: what is sealed from now on is under it.",
  sweep: "3/6  Every secret's data key is wrapped anew; the secrets themselves are not touched.",
  verify: "4/6  Every secret is opened once, and shown to nobody.",
  raise_floor: "5/6  The floor rises: what is under the older key is refused.",
  lower_floor: "     A secret was sealed under the older key meanwhile: once more.",
  retire: "6/6  The older key is destroyed.",
};

type Vault = Operator["vault"];

/** Goes from step to step until one key is left. Ended anywhere, the same command goes on from there. */
export async function rotate(
  vault: Vault,
  store: RingStore,
  { waitSeconds, say }: { waitSeconds: number; say: (line: string) => void },
): Promise<number> {
  let isVerified = false;
  let began = false;
  let waitsSince: number | null = null;
  for (;;) {
    const ring = readRing(store);
    // While it is deployed anew it does not answer for a moment.
    const seen = await vault.status().catch(() => null);
    const now: RotationStep = seen ? nextStep(await factsOf(ring), seen, isVerified) : { step: "deploy" };
    if (seen === null || now.step === "deploy") {
      waitsSince ??= Date.now();
      if (Date.now() - waitsSince > waitSeconds * 1_000) throw new Refusal(notTaken(store));
      await sleep(POLL_MS);
      continue;
    }
    waitsSince = null;
    if (now.step === "settled" && began) {
      say(SAID.settled);
      return 0;
    }
    if (now.step === "settled") {
      began = true;
      say("1/6  A new key is added beside the current one, and wraps nothing yet.");
      change(store, withNewKey(ring, seen, new Uint8Array(randomBytes(32))), say);
      continue;
    }
    say(SAID[now.step]);
    if (now.step === "sweep") await pass("sweep", now.stale, vault.sweep, say);
    else if (now.step === "verify") {
      await pass("verify", total(seen), vault.verify, say);
      isVerified = true;
    } else {
      began = true;
      change(store, ringAfter(ring, now), say);
    }
  }
}

const total = ({ keys }: VaultStatus): number => keys.reduce((sum, { secrets }) => sum + secrets, 0);

/** All rows, in bounded calls, with progress and rate. What cannot be read stops everything: nothing is retired then. */
async function pass(what: string, of: number, call: Vault["sweep"], say: (line: string) => void): Promise<void> {
  const began = performance.now();
  const unreadable: string[] = [];
  let done = 0;
  let after: Parameters<Vault["sweep"]>[0]["after"] = null;
  do {
    const result: Awaited<ReturnType<Vault["sweep"]>> = await call({ after, limit: ROWS_PER_CALL });
    done += result.done;
    after = result.next;
    unreadable.push(...result.unreadable.map(([tenant, name]) => `${tenant} ${name}`));
    const perSecond = Math.round((done * 1_000) / (performance.now() - began));
    say(`     ${what}: ${done} of ${of}, ${perSecond} per second`);
  } while (after !== null);
  if (unreadable.length > 0) {
    throw new Refusal(
      `${unreadable.length} secrets cannot be read, so no key is retired: ${unreadable.slice(0, 10).join(", ")}. Have their owners enter them again, or remove them.`,
    );
  }
}

function change(store: RingStore, ring: Keyring, say: (line: string) => void): void {
  store.write(ringText(ring, toBase64url));
  if (store.deploy) say(`     Run this where you deploy from; it is waited for:  ${store.deploy}`);
}

function readRing(store: RingStore): Keyring {
  const parsed = parseKeyring(store.read());
  if (parsed.ok) return parsed.ring;
  throw new Refusal(`the ring cannot be used (${parsed.refusal}): bring back the one that the edge has.`);
}

async function factsOf({ current, floor, keys }: Keyring) {
  const pairs = await Promise.all(
    [...keys].map(async ([version, key]) => [version, await fingerprintOf(key)] as const),
  );
  return { current, floor, fingerprints: new Map(pairs) };
}

const notTaken = ({ deploy }: RingStore): string =>
  `the edge has not taken the ring in time.${deploy ? ` Deploy it: ${deploy}.` : ""} Nothing is lost: run the same command again, it goes on from here.`;

/** The running edge of this machine watches its secrets, and starts anew with them. */
export function localRing(dir: string): RingStore {
  return {
    read: () => readSecrets(dir)?.VAULT_KEYS ?? "",
    write: (VAULT_KEYS) => changeSecrets(dir, (secrets) => ({ ...secrets, VAULT_KEYS })),
    deploy: null,
  };
}

function fileRing(file: string): RingStore {
  return {
    read() {
      try {
        return readFileSync(file, "utf8").trim();
      } catch (error) {
        throw new Refusal(`${file} cannot be read: ${(error as Error).message}.`);
      }
    },
    write(text) {
      writeFileSync(`${file}.new`, text, { mode: 0o600, flush: true });
      renameSync(`${file}.new`, file);
    },
    deploy: `wrangler secret put VAULT_KEYS < ${file}`,
  };
}
