import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { createClient } from "@libsql/client";
import { build } from "esbuild";
import { newId } from "../../schema/protocol/index.ts";
import { newSalt, tenantKeys } from "../../worker/vault/envelope.ts";
import { type Keyring, parseKeyring } from "../../worker/vault/rules.ts";
import { Secret } from "../../worker/vault/secret.ts";
import { type Edge, startEdge } from "../edge.ts";
import { openOperator } from "../operator.ts";
import { startPart, untilReady } from "../processes.ts";
import { bringSecrets } from "../secrets.ts";
import { localRing, rotate } from "../vault.ts";
import { ROOT, workerdBinary } from "../worker.ts";

const ALLOWED_RATIO = 0.3;
/** Bytes of a value: an Anthropic key has 108, the longest that any row of the table takes 400. */
const SIZES = [64, 108, 400, 4_096, 65_536] as const;
/** What the ratio is asked of: what everybody's key is like, and far above all of them. */
const CLAIMED: readonly number[] = [108, 65_536];
const TYPICAL = 108;
/** Until the engine has compiled what it runs; not counted. */
const WARMING = 15;
const ROUNDS = 15;
/** What an engine has compiled, and where its garbage lies, is its own luck for as long as it runs. */
const PROCESSES = 3;
const perRoundOf = (bytes: number) => (bytes > 10_000 ? 500 : 2_000);
const SECRETS = 10_000;

const WHATS = ["vault", "bare", "bareOneKey"] as const;
interface Measured {
  bytes: number;
  rates: Rates;
  /** To one key for all values, imported once. */
  ratio: number;
  /** To a key for each value, as the vault has. */
  ratioKeyForEach: number;
}
type Rates = Record<(typeof WHATS)[number], number>;

/**
 * Seal and open, one after another inside workerd, beside bare AES-GCM of the same size; in turns. Then a whole rotation
 * of the ring over ten thousand secrets, through the operator's API of a real edge and its real database.
 */
export async function benchVault(json: boolean): Promise<number> {
  mkdirSync(`${ROOT}/.chelar`, { recursive: true });
  const dir = mkdtempSync(`${ROOT}/.chelar/bench-`);
  try {
    const sizes = await rates(dir);
    const rotation = await rotateMany(dir, json ? () => {} : console.log);
    return tell(sizes, rotation, json);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function rates(dir: string): Promise<Measured[]> {
  await build({
    entryPoints: [`${ROOT}/stack/bench/vault-worker.ts`],
    outfile: `${dir}/bench.js`,
    ...{ bundle: true, format: "esm", target: "es2024", external: ["node:*"], logLevel: "error" },
  });
  const seen = new Map(SIZES.map((bytes) => [bytes, { vault: [], bare: [], bareOneKey: [] } as Seen]));
  for (let process = 0; process < PROCESSES; process++) await roundsOf(dir, seen);
  return [...seen].map(([bytes, { vault, bare, bareOneKey }]) => {
    // Of neighbours in time, so that what else the machine does falls on both.
    const ratioTo = (other: number[]) => median(vault.map((rate, round) => rate / (other[round] as number)));
    return {
      ...{ bytes, ratio: ratioTo(bareOneKey), ratioKeyForEach: ratioTo(bare) },
      rates: { vault: median(vault), bare: median(bare), bareOneKey: median(bareOneKey) },
    };
  });
}

type Seen = Record<(typeof WHATS)[number], number[]>;

/** Of one process. */
async function roundsOf(dir: string, seen: ReadonlyMap<number, Seen>): Promise<void> {
  const port = await freePort();
  writeFileSync(`${dir}/bench.capnp`, configOf(port));
  const part = startPart({
    ...{ name: "workerd", command: workerdBinary(), args: ["serve", `${dir}/bench.capnp`], cwd: dir },
    logFile: `${dir}/bench.log`,
  });
  const perSecond = async (what: string, bytes: number) => {
    const times = perRoundOf(bytes);
    const began = performance.now();
    const answer = await fetch(`http://127.0.0.1:${port}/${what}?n=${times}&size=${bytes}`);
    if ((await answer.text()) !== "done") throw new Error(`${what} failed: its log is in ${dir}`);
    return (times * 1_000) / (performance.now() - began);
  };
  try {
    await untilReady(part, "it answered", async () => (await fetch(`http://127.0.0.1:${port}/`)).ok);
    for (const [bytes, rates] of seen) {
      for (let round = -WARMING; round < ROUNDS; round++) {
        for (const what of WHATS) {
          const rate = await perSecond(what, bytes);
          if (round >= 0) rates[what].push(rate);
        }
      }
    }
  } finally {
    await part.stop();
  }
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] as number;

const configOf = (port: number) => `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "bench", worker = .bench)],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "bench")],
);
const bench :Workerd.Worker = (
  modules = [(name = "bench.js", esModule = embed "bench.js")],
  compatibilityDate = "2026-08-01",
  compatibilityFlags = ["nodejs_compat"],
);
`;

interface Rotation {
  secrets: number;
  tookMs: number;
  sweepPerSecond: number;
}

async function rotateMany(dir: string, say: (line: string) => void): Promise<Rotation> {
  const home = `${dir}/edge`;
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const secrets = await bringSecrets(home);
  const edge = await startEdge({
    ...{ dir: home, runDir: `${home}/run`, listen: "127.0.0.1", port: await freePort(), secrets },
    tenantOrigin: "http://*.agents.localhost:8080",
  });
  try {
    const ring = parseKeyring(secrets.VAULT_KEYS);
    if (!ring.ok) throw new Error(ring.refusal);
    await seed(edge, ring.ring);
    const { vault } = openOperator({ dir: home, edge: edge.dashboard });
    let sweepMs = 0;
    const timed: typeof vault = {
      ...vault,
      async sweep(from) {
        const began = performance.now();
        const pass = await vault.sweep(from);
        sweepMs += performance.now() - began;
        return pass;
      },
    };
    const began = performance.now();
    await rotate(timed, localRing(home), { waitSeconds: 60, say });
    const tookMs = performance.now() - began;
    const { current, stale, keys } = await vault.status();
    const held = keys.find(({ version }) => version === current)?.secrets ?? 0;
    if (stale !== 0 || held !== SECRETS) throw new Error(`${held} of ${SECRETS} secrets are under the new key`);
    return { secrets: SECRETS, tookMs, sweepPerSecond: (SECRETS * 1_000) / sweepMs };
  } finally {
    await edge.stop();
  }
}

/** Five secrets for each of two thousand agents, sealed by the vault's own code, written past its API. */
async function seed(edge: Edge, ring: Keyring): Promise<void> {
  const random = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes));
  const client = createClient({ url: edge.databaseUrl, authToken: edge.databaseAuthToken });
  const names = ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "MISTRAL_API_KEY", "TELEGRAM_BOT_TOKEN"];
  for (let begun = 0; begun < SECRETS; begun += 1_000) {
    const statements: { sql: string; args: (string | number)[] }[] = [];
    for (let tenant = 0; tenant < 1_000 / names.length; tenant++) {
      const [id, salt] = [newId("tnt"), newSalt(random)];
      statements.push({
        sql: "insert into tenant_salts (tenant_id, salt, created_at) values (?, ?, 0)",
        args: [id, salt],
      });
      const keys = tenantKeys(ring, id, salt);
      for (const name of names) {
        const { format, keyVersion, keyCommitment, wrapNonce, wrappedKey, nonce, ciphertext } = await keys.seal(
          ...([new Secret("k".repeat(TYPICAL)), { name, version: 1 }, random] as const),
        );
        statements.push({
          sql: `insert into secrets (tenant_id, name, version, format, key_version, key_commitment, wrap_nonce, wrapped_key,
            nonce, ciphertext, last_four, created_at, created_by) values (?, ?, 1, ?, ?, ?, ?, ?, ?, ?, '', 0, 'bench')`,
          args: [id, name, format, keyVersion, keyCommitment ?? "", wrapNonce, wrappedKey, nonce, ciphertext],
        });
      }
    }
    await client.batch(statements, "write");
  }
  client.close();
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function tell(sizes: Measured[], rotation: Rotation, json: boolean): number {
  const seen = sizes.map(({ bytes, rates, ratio, ratioKeyForEach }) => ({
    ...{ bytes, ratio, ratioKeyForEach },
    sealAndOpenPerSecond: rates.vault,
    barePerSecond: rates.bareOneKey,
    bareKeyForEachPerSecond: rates.bare,
  }));
  const ratio = Math.min(...seen.filter(({ bytes }) => CLAIMED.includes(bytes)).map((one) => one.ratio));
  const within = ratio >= ALLOWED_RATIO;
  if (json) {
    console.log(JSON.stringify({ ratio, neededRatio: ALLOWED_RATIO, within, sizes: seen, rotation }, null, 2));
    return within ? 0 : 1;
  }
  console.log("seal and open per second, in workerd; bare: AES-GCM alone, with one key for all or a key for each");
  console.log("   bytes     vault   bare, one key   ratio   bare, a key for each   ratio");
  const cell = (value: number, width: number, digits = 0) => value.toFixed(digits).padStart(width);
  for (const one of seen) {
    console.log(
      [cell(one.bytes, 8), cell(one.sealAndOpenPerSecond, 10), cell(one.barePerSecond, 16), cell(one.ratio, 8, 2)].join(
        "",
      ) +
        cell(one.bareKeyForEachPerSecond, 23) +
        cell(one.ratioKeyForEach, 8, 2),
    );
  }
  const { secrets, tookMs, sweepPerSecond } = rotation;
  console.log(
    `rotation of ${secrets} secrets: ${(tookMs / 1_000).toFixed(1)} s in all, swept at ${sweepPerSecond.toFixed(0)} per second`,
  );
  const verdict = within ? "within" : "UNDER";
  console.log(`ratio at ${CLAIMED.join(" and ")} bytes ${ratio.toFixed(2)}; needed ${ALLOWED_RATIO}: ${verdict}`);
  return within ? 0 : 1;
}
