import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createClient } from "@libsql/client/http";
import { drizzle } from "drizzle-orm/libsql/http";
import { build } from "esbuild";
import { SignJWT } from "jose";
import { hosts } from "../../schema/db/index.ts";
import {
  generateSealingKey,
  generateSigningKey,
  importSigningKey,
  keyId,
  newId,
  privateSigningJwk,
  publicPart,
} from "../../schema/protocol/index.ts";
import { Account, expectStatus } from "../client.ts";
import { migrate } from "../migrate.ts";
import { bringSecrets } from "../secrets.ts";
import { freePort, startSqld } from "../sqld.ts";
import { buildWorker, ROOT, startWorker } from "../worker.ts";

/** A door with an agent behind it, and everybody who may knock; no host runs, since nothing is let through to one. */
export interface Door {
  dir: string;
  edgePort: number;
  /** An empty Hono handler in the same workerd. */
  emptyPort: number;
  /** Of workerd. */
  pid: number;
  hostname: string;
  tenantOrigin: string;
  /** What an enrolled host's Caddy says of itself. */
  hostKey: string;
  cookies: Readonly<Record<"owner" | "nonOwner" | "expired" | "revoked", string>>;
  /** Statements that the database was ever asked. */
  queries(): Promise<number>;
  stop(): Promise<void>;
}

const EMPTY = `import { Hono } from "hono";
export default new Hono().get("/forward-auth", (c) => c.body(null, 200));`;

/** The built worker under `workerd serve`, with its database in sqld. */
export async function startDoor(agentsPort: number): Promise<Door> {
  mkdirSync(`${ROOT}/.chelar`, { recursive: true });
  const dir = mkdtempSync(`${ROOT}/.chelar/bench-`);
  const undo: (() => unknown)[] = [() => rmSync(dir, { recursive: true, force: true })];
  const stop = async () => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    const [edgePort, emptyPort, adminPort] = [await freePort(), await freePort(), await freePort()];
    const database = await startSqld({ dir: `${dir}/sqld`, adminPort });
    undo.push(database.stop);
    const [secrets] = await Promise.all([bringSecrets(dir), buildWorker(`${dir}/worker`)]);
    await migrate(database.url, database.authToken);
    await build({
      stdin: { contents: EMPTY, resolveDir: ROOT },
      bundle: true,
      format: "esm",
      outfile: `${dir}/worker/empty.js`,
    });
    const dashboard = `http://localhost:${edgePort}`;
    const tenantOrigin = `http://*.agents.localhost:${agentsPort}`;
    const worker = await startWorker({
      dir: `${dir}/worker`,
      listen: "127.0.0.1",
      port: edgePort,
      cronSocket: `${dir}/cron.sock`,
      bindings: {
        DASHBOARD_ORIGIN: dashboard,
        TENANT_ORIGIN: tenantOrigin,
        DATABASE_URL: database.url,
        DATABASE_AUTH_TOKEN: database.authToken,
        AUTH_RATE_LIMIT: "off",
        MAIL: JSON.stringify({ driver: "mailbox" }),
        ...secrets,
      },
      beside: { port: emptyPort, module: "empty.js" },
      logFile: `${dir}/logs/edge.log`,
    });
    undo.push(() => worker.part.stop());

    const hostKey = await addHost(database.url, database.authToken);
    const tag = randomBytes(4).toString("hex");
    const [owner, stranger, leaver] = await Promise.all(
      ["owner", "stranger", "leaver"].map((who) => person(dashboard, `${who}-${tag}`)),
    );
    if (!owner || !stranger || !leaver) throw new Error("three people make a bench");
    const name = `bench-${tag}`;
    expectStatus(await owner.account.api("/api/v1/tenants", { body: { name, runtime: "echo" } }), 201, 202);
    await leaver.account.signOut();

    const hostname = `${name}.agents.localhost`;
    const ticketKey = privateSigningJwk.parse(JSON.parse(secrets.TICKET_KEY));
    const [kid, key] = [await keyId(ticketKey), await importSigningKey(ticketKey)];
    const cookieOf = async ({ userId, sessionId }: { userId: string; sessionId: string }, lifetimeSeconds = 3_600) =>
      `chelar-door=${await new SignJWT({ sid: sessionId })
        .setProtectedHeader({ alg: "EdDSA", typ: "chelar-door+jwt", kid })
        .setIssuer(dashboard)
        .setSubject(userId)
        .setAudience(hostname)
        .setIssuedAt()
        .setExpirationTime(Math.floor(Date.now() / 1_000) + lifetimeSeconds)
        .sign(key)}`;
    return {
      dir,
      edgePort,
      emptyPort,
      pid: worker.part.pid,
      hostname,
      tenantOrigin,
      hostKey,
      cookies: {
        owner: await cookieOf(owner),
        nonOwner: await cookieOf(stranger),
        expired: await cookieOf(owner, -60),
        revoked: await cookieOf(leaver),
      },
      async queries() {
        const stats = await fetch(`http://127.0.0.1:${adminPort}/v1/namespaces/default/stats`);
        return ((await stats.json()) as { query_count: number }).query_count;
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function person(dashboard: string, tag: string) {
  const account = new Account(dashboard);
  await account.signUp({ name: "bench", email: `${tag}@example.test`, password: `${tag}-correct-horse` });
  const answer = expectStatus(await account.api("/api/auth/get-session"), 200);
  const { session } = answer.json<{ session: { id: string; userId: string } }>();
  return { account, userId: session.userId, sessionId: session.id };
}

/** A host by name only: the door believes nobody else. */
async function addHost(url: string, authToken: string): Promise<string> {
  const secret = randomBytes(32).toString("base64url");
  const id = newId("hst");
  const client = createClient({ url, authToken });
  try {
    await drizzle({ client, casing: "snake_case" })
      .insert(hosts)
      .values({
        id,
        name: "bench",
        region: "local",
        endpoint: "http://127.0.0.1:1",
        state: "enrolled",
        epoch: 1,
        signingKey: JSON.stringify(publicPart(await generateSigningKey())),
        sealingKey: JSON.stringify(publicPart(await generateSealingKey())),
        ingressHash: createHash("sha256").update(secret).digest("base64url"),
        memoryMiB: 100_000,
        diskMiB: 100_000,
        maxTenants: 10,
        lastReportAt: Date.now(),
        enrolledAt: Date.now(),
      });
  } finally {
    client.close();
  }
  return `${id}.${secret}`;
}
