import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import {
  COMMAND_PATH,
  type Command,
  type CommandOutcome,
  ENROL_PATH,
  ENVELOPE_CONTENT_TYPE,
  type EnrolRequest,
  envelopeHash,
  freshClaims,
  generateSigningKey,
  importSealingKey,
  importSigningKey,
  keyId,
  newId,
  REPORT_PATH,
  type Report,
  sealSecrets,
  signEnvelope,
  verifyEnvelope,
} from "../../schema/protocol/index.ts";

export interface EdgeStandIn {
  url: string;
  /** Good for any host, any number of times. */
  token: string;
  /** What the host has said and this edge has acknowledged, in order, each once. */
  reports: Report[];
  /** While false, reports are refused. */
  listening: boolean;
  /** Signs and delivers one command to the host's socket. Null: the host does not take it for a command. */
  command(socketPath: string, command: Command): Promise<CommandOutcome | null>;
  /** The envelope that this edge would have made at that time. */
  sign(command: Command, nowMs?: number): Promise<string>;
  /** Delivers an envelope, first or again. `answerAtMs`: the time by the host's clock, where that is wrong. */
  deliver(socketPath: string, compact: string, answerAtMs?: number): Promise<CommandOutcome | null>;
  /** With the tenant's volume key, which is the same at every time. */
  seal(tenantId: string, generation: number, env: Record<string, string>): Promise<string>;
  close(): Promise<void>;
}

/** The edge as one host sees it: enrols it, signs for it, takes its reports in. Real keys, no database. */
export async function startEdgeStandIn(address: string): Promise<EdgeStandIn> {
  const signing = await generateSigningKey();
  const kid = await keyId(signing);
  const privateKey = await importSigningKey(signing);
  const hostId = newId("hst");
  let host: EnrolRequest | null = null;
  let epoch = 0;
  let ackedSeq = 0;

  const server = createServer(async (incoming, response) => {
    let body = "";
    for await (const chunk of incoming) body += chunk;
    const answer = (status: number, value: object) => {
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
    };
    if (incoming.url === ENROL_PATH) {
      host = await provenEnrolment(body, edge.url);
      if (!host) return answer(403, { code: "enrolment_refused" });
      epoch += 1;
      ackedSeq = 0;
      const keyset = { version: 1, keys: [{ kid, x: signing.x }] };
      return answer(200, { hostId, epoch, edge: edge.url, keyset });
    }
    if (incoming.url !== REPORT_PATH || !edge.listening) return answer(503, { code: "internal" });
    const reports = await take(body);
    if (!reports) return answer(403, { code: "report_refused" });
    const fresh = reports.filter(({ seq }) => seq > ackedSeq);
    edge.reports.push(...fresh);
    ackedSeq = fresh.at(-1)?.seq ?? ackedSeq;
    const ack = { reportHash: await envelopeHash(body), ackedSeq };
    const claims = {
      ...freshClaims(Math.floor(Date.now() / 1_000), randomBytes(16)),
      iss: edge.url,
      aud: hostId,
      epoch,
    };
    response.writeHead(200, { "content-type": ENVELOPE_CONTENT_TYPE });
    response.end(await signEnvelope("ack", { ...claims, ack }, { kid, privateKey }));
  });
  server.listen(0, address);
  await once(server, "listening");

  async function expectation(nowMs = Date.now()) {
    if (!host) throw new Error("no host is enrolled");
    const keys = new Map([[await keyId(host.signing), await importSigningKey(host.signing)]]);
    return { nowSeconds: Math.floor(nowMs / 1_000), issuer: hostId, audience: edge.url, epoch, keys };
  }
  async function take(compact: string): Promise<Report[] | null> {
    const verdict = await verifyEnvelope("report", compact, await expectation());
    return verdict.ok ? verdict.claims.reports : null;
  }

  /** As the real edge, which never sends an agent without the key of its volume. */
  async function withVolumeKey(command: Command): Promise<Command> {
    if (command.type !== "tenant.apply" || command.secretsJwe !== null) return command;
    return { ...command, secretsJwe: await edge.seal(command.tenant.id, command.generation, {}) };
  }

  const edge: EdgeStandIn = {
    url: `http://${address}:${(server.address() as AddressInfo).port}`,
    token: `chelar-enrol.${randomBytes(32).toString("base64url")}`,
    reports: [],
    listening: true,
    command: async (socketPath, command) => edge.deliver(socketPath, await edge.sign(command)),
    async sign(command, nowMs = Date.now()) {
      const claims = {
        ...freshClaims(Math.floor(nowMs / 1_000), randomBytes(16)),
        iss: edge.url,
        aud: hostId,
        epoch,
        command: await withVolumeKey(command),
      };
      return signEnvelope("command", claims, { kid, privateKey });
    },
    async deliver(socketPath, compact, answerAtMs) {
      const answer = await post(socketPath, compact);
      if (answer === null) return null;
      const verdict = await verifyEnvelope("result", answer, await expectation(answerAtMs));
      if (!verdict.ok) throw new Error(`the host's result does not verify: ${verdict.refusal.reason}`);
      return verdict.claims.result.outcome;
    },
    async seal(tenantId, generation, env) {
      if (!host) throw new Error("no host is enrolled");
      const key = { kid: await keyId(host.sealing), publicKey: await importSealingKey(host.sealing) };
      const volumeKey = createHash("sha256").update(`volume of ${tenantId}`).digest("base64url");
      return sealSecrets({ tenantId, generation, env, volumeKey }, key);
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
  return edge;
}

/** Null unless it is signed, for this edge, with the key that it brings. */
async function provenEnrolment(compact: string, audience: string): Promise<EnrolRequest | null> {
  const payload = JSON.parse(Buffer.from(compact.split(".")[1] ?? "", "base64url").toString());
  const { signing } = payload.enrolment as EnrolRequest;
  const issuer = await keyId(signing);
  const keys = new Map([[issuer, await importSigningKey(signing)]]);
  const nowSeconds = Math.floor(Date.now() / 1_000);
  const verdict = await verifyEnvelope("enrolment", compact, { nowSeconds, issuer, audience, epoch: 0, keys });
  return verdict.ok ? verdict.claims.enrolment : null;
}

function post(socketPath: string, body: string): Promise<string | null> {
  return new Promise((resolve, reject) => {
    const headers = { "content-type": ENVELOPE_CONTENT_TYPE, "content-length": Buffer.byteLength(body) };
    const call = request({ socketPath, path: COMMAND_PATH, method: "POST", headers }, async (response) => {
      let text = "";
      try {
        for await (const chunk of response) text += chunk;
        resolve(response.statusCode === 200 ? text : null);
      } catch (error) {
        reject(error);
      }
    });
    call.once("error", reject);
    call.end(body);
  });
}
