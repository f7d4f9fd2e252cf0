import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline/promises";
import {
  BootstrapFailed,
  bootstrap,
  type Credentials,
  type Expected,
  fingerprint,
  nameOf,
  openKnownHosts,
  type PostureVerdict,
  type Progress,
  parseTarget,
  sitePort,
  type Target,
} from "../host-agent/bootstrap/index.ts";
import { cloudWallOf } from "./cloud-walls.ts";
import type { HostOptions } from "./host-command.ts";
import { openOperator } from "./operator.ts";
import { makePrograms } from "./programs.ts";
import { Refusal } from "./system.ts";

/** Room for images, their building and a few agents; a host is planned larger than this. */
const NEEDS = { diskMiB: 8 * 1024, memoryMiB: 1536 };
const POOL = "10.213.0.0/16";

export async function addHost(subject: string, values: HostOptions): Promise<number> {
  const target = readTarget(subject, values.port);
  const operator = openOperator({ dir: values.dir, edge: values.edge ?? null });
  const edgeUrl = readEdge(operator.edge);
  const credentials = readCredentials(values.key);
  const cloudWall = cloudWallOf(values, target.address);
  const known = openKnownHosts(`${values.dir}/known-hosts.json`);
  const { tenantOrigin } = await operator.list();
  const endpoint = readEndpoint(values.endpoint, target, edgeUrl);
  for (const site of [tenantOrigin, endpoint]) {
    if (![80, 443].includes(sitePort(site))) {
      throw new Refusal(`${site}: a server of its own serves ports 80 and 443 only, all others stay shut.`);
    }
  }
  // A directory of our own: two at once must not write into each other's bundle.
  const building = mkdtempSync(join(tmpdir(), "chelar-programs-"));
  const programs = await makePrograms(building);
  const add = (expected: Expected | null) =>
    bootstrap({
      target,
      credentials,
      expected,
      programs,
      settings: {
        name: values.name ?? hostName(target.address),
        region: values.region,
        edgeUrl,
        endpoint,
        tenantSite: tenantOrigin,
        hostSite: endpoint,
        pool: POOL,
        resolvers: values.resolver ?? null,
        prebuild: values.prebuild.filter((name) => name !== ""),
      },
      needs: NEEDS,
      adminNetworks: values["admin-network"] ?? null,
      cloudWall,
      edge: operator,
      onProgress: printProgress,
    });

  const { hostId, posture } = await confirmingKey(add, target, values.fingerprint, known)
    .catch((error: Error) => {
      throw error instanceof BootstrapFailed ? new Refusal(error.message) : error;
    })
    .finally(() => rmSync(building, { recursive: true, force: true }));
  console.log(`\n${values.name ?? hostName(target.address)} is enrolled as ${hostId}.`);
  printPosture(posture);
  if (!cloudWall) {
    console.log(
      "Layer 1, the provider's firewall, is not managed: `npm run host -- walls --cloud PROVIDER --admin-network CIDR` prints its rules.",
    );
  }
  return posture.breached + posture.unproven > 0 ? 1 : 0;
}

/** What did not hold, in full; what did, as a number. The whole list: `npm run posture`, or the host's page. */
function printPosture({ attacks, held, breached, unproven, notManaged, gates }: PostureVerdict): void {
  for (const { name, have, need, ok } of gates) {
    if (!ok) console.log(`  below production: ${name} ${have}, ${need} is needed`);
  }
  for (const { id, outcome, evidence } of attacks) {
    if (outcome === "breached" || outcome === "unproven") console.log(`  ${outcome.toUpperCase()} ${id}: ${evidence}`);
  }
  const verdict = breached > 0 ? "POSTURE BREACHED" : unproven > 0 ? "posture not proven" : "posture held";
  console.log(
    `${verdict}: ${held} of ${attacks.length} attacks held, ${breached} breached, ${unproven} not proven, ${notManaged} not managed here.`,
  );
}

/** Strict: a key that nobody confirmed ends the connection; one that changed does so even at a terminal. */
async function confirmingKey<T>(
  add: (expected: Expected | null) => Promise<T>,
  target: Target,
  given: string | undefined,
  known: ReturnType<typeof openKnownHosts>,
): Promise<T> {
  const server = nameOf(target);
  const pinned = known.find(server);
  if (given !== undefined && !fingerprint.safeParse(given).success) {
    throw new Refusal(
      `--fingerprint takes SHA256: and 43 characters, as ssh-keygen -l prints it, not ${JSON.stringify(given)}.`,
    );
  }
  if (given !== undefined && pinned !== null && given !== pinned) {
    throw new Refusal(
      `${server} is pinned to ${pinned} in ${known.file}, and --fingerprint says ${given}: one of them is wrong. Nothing was changed.`,
    );
  }
  const from = pinned === null ? "--fingerprint" : known.file;
  const first = pinned ?? given;
  if (first !== undefined) {
    const pinning = (): void => (pinned === null ? known.pin(server, first) : undefined);
    return withPin(add, { fingerprint: first, from }, pinning);
  }
  try {
    return await add(null);
  } catch (error) {
    if (!(error instanceof BootstrapFailed) || error.failure.reason !== "host_key_unknown") throw error;
    if (!process.stdin.isTTY) throw error;
    const { shown } = error.failure;
    console.log(`${server} shows the host key ${shown}. Compare it with the server's console.`);
    const prompt = createInterface({ input: process.stdin, output: process.stderr });
    const answer = await prompt.question("Is it this one? [yes/no] ");
    prompt.close();
    if (answer.trim() !== "yes") throw error;
    return withPin(add, { fingerprint: shown, from: "your answer" }, () => known.pin(server, shown));
  }
}

/** Pinned as soon as the server has shown it, so that a broken first try needs no second confirmation. */
async function withPin<T>(add: (expected: Expected) => Promise<T>, expected: Expected, pin: () => void): Promise<T> {
  const unproven = new Set(["unreachable", "host_key_changed", "host_key_unknown"]);
  try {
    const result = await add(expected);
    pin();
    return result;
  } catch (error) {
    if (error instanceof BootstrapFailed && !unproven.has(error.failure.reason)) pin();
    throw error;
  }
}

function readTarget(subject: string, portText: string): Target {
  const parsed = parseTarget(subject);
  if (!parsed) throw new Refusal(`${JSON.stringify(subject)} is not accepted: root@ and an address or a host name.`);
  const port = Number(portText);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new Refusal(`--port takes a port between 1 and 65535, not ${JSON.stringify(portText)}.`);
  }
  return { ...parsed, port };
}

function readEdge(edge: string): string {
  const { hostname } = new URL(edge);
  if (/^(localhost|127\..*|\[::1\])$|\.localhost$/.test(hostname)) {
    throw new Refusal(`a server elsewhere cannot reach the edge at ${edge}: say with --edge URL how it does.`);
  }
  return edge;
}

function readCredentials(key: string | undefined): Credentials {
  if (key !== undefined) {
    const file = key.replace(/^~(?=\/)/, homedir());
    try {
      return { kind: "key", name: file, privateKey: readFileSync(file) };
    } catch (error) {
      throw new Refusal(`the SSH key ${file} cannot be read: ${(error as NodeJS.ErrnoException).code}.`);
    }
  }
  const socket = process.env.SSH_AUTH_SOCK;
  if (!socket) throw new Refusal("no SSH key: name one with --key FILE, or run ssh-agent.");
  return { kind: "agent", name: "the keys of ssh-agent", socket };
}

/** Without TLS only where the edge has none either: a developer's own network. */
function readEndpoint(given: string | undefined, { address }: Target, edgeUrl: string): string {
  if (given !== undefined) {
    if (URL.canParse(given) && /^https?:/.test(given)) return new URL(given).origin;
    throw new Refusal(`--endpoint takes a URL such as https://host-1.example, not ${JSON.stringify(given)}.`);
  }
  const isName = /[a-z]/i.test(address) && !address.includes(":");
  const host = address.includes(":") ? `[${address}]` : address;
  if (edgeUrl.startsWith("http:")) return `http://${host}`;
  if (isName) return `https://${host}`;
  throw new Refusal(
    `nobody issues a certificate for ${address}: say with --endpoint https://NAME how the edge reaches it.`,
  );
}

const hostName = (address: string): string =>
  `host-${address.toLowerCase().replace(/[^a-z0-9]+/g, "-")}`.replace(/-+$/, "").slice(0, 41);

function printProgress({ number, of, step, title, state }: Progress): void {
  const head = `${String(number).padStart(2)}/${of} ${step.padEnd(13)}`;
  switch (state.now) {
    case "begins":
      console.log(`${head} ${title} …`);
      break;
    case "goes on":
      if (process.stdout.isTTY) process.stdout.write(`\r${head} ${state.detail}   \r`);
      break;
    case "done":
      console.log(`${head} done (${(state.ms / 1000).toFixed(1)} s)`);
      break;
    case "was done":
      console.log(`${head} as it should be`);
  }
}
