import { createHash } from "node:crypto";
import {
  COMMAND_PATH,
  type Command,
  type CommandOutcome,
  type EnrolRequest,
  type EnrolResponse,
  envelopeHash,
  freshClaims,
  generateSealingKey,
  generateSigningKey,
  importKeyset,
  importSigningKey,
  keyId,
  type PrivateSealingJwk,
  type PrivateSigningJwk,
  publicPart,
  type Report,
  signEnvelope,
  verifyEnvelope,
} from "../../schema/protocol/index.ts";
import { OPERATOR_TOKEN, randomText, type TestEdge } from "./edge.ts";

/** A host that speaks the real protocol with real keys and keeps the newest generation, but runs no containers. */
export class TestHost {
  readonly name = `h${randomText()}`;
  readonly endpoint = `https://${this.name}.host.example`;
  readonly signing: PrivateSigningJwk;
  readonly sealing: PrivateSealingJwk;
  readonly commands: Command[] = [];
  readonly generations = new Map<string, number>();
  readonly ingressSecret = randomText().padEnd(43, "i");
  enrolment!: EnrolResponse;
  down = false;
  /** Milliseconds; for tests that move the edge's clock as well. */
  now: () => number = () => Date.now();
  /** Overrules the answer. */
  answer: ((command: Command) => CommandOutcome | null) | null = null;
  /** What it says its result is about: not the command that came, when a test wants it to lie. */
  resultIsAbout: string | null = null;
  #seq = 0;

  private constructor(signing: PrivateSigningJwk, sealing: PrivateSealingJwk) {
    this.signing = signing;
    this.sealing = sealing;
  }

  static async make(): Promise<TestHost> {
    return new TestHost(await generateSigningKey(), await generateSealingKey());
  }

  /** What its Caddy says to the door. */
  get ingressKey(): string {
    return `${this.enrolment.hostId}.${this.ingressSecret}`;
  }

  async token(edge: TestEdge): Promise<string> {
    const response = await edge.send("/api/v1/operator/hosts/tokens", {
      method: "POST",
      headers: { authorization: `Bearer ${OPERATOR_TOKEN}` },
    });
    return ((await response.json()) as { token: string }).token;
  }

  async enrol(edge: TestEdge, more: object = {}): Promise<Response> {
    return this.postEnrolment(edge, await this.signEnrolment(edge, more));
  }

  /** What a host with these keys would send; `claims` may say anything beside it, `key` sign it. */
  async signEnrolment(edge: TestEdge, more: object, claims: object = {}, key?: PrivateSigningJwk): Promise<string> {
    const enrolment = {
      token: await this.token(edge),
      name: this.name,
      region: "test",
      endpoint: this.endpoint,
      signing: publicPart(this.signing),
      sealing: publicPart(this.sealing),
      ingressHash: createHash("sha256").update(this.ingressSecret).digest("base64url"),
      capacity: { memoryMiB: 1_000_000, diskMiB: 1_000_000, tenants: 4_000 },
      ...more,
    } as EnrolRequest;
    const kid = await keyId(this.signing);
    const times = freshClaims(Math.floor(edge.world.now() / 1000), crypto.getRandomValues(new Uint8Array(16)));
    const all = { ...times, iss: kid, aud: edge.config.dashboardOrigin, epoch: 0 as const, enrolment, ...claims };
    return signEnvelope("enrolment", all, { kid, privateKey: await importSigningKey(key ?? this.signing) });
  }

  async postEnrolment(edge: TestEdge, compact: string): Promise<Response> {
    const response = await edge.send("/api/hosts/enrol", {
      method: "POST",
      headers: { "content-type": "application/jose" },
      body: compact,
    });
    if (response.ok) this.enrolment = (await response.clone().json()) as EnrolResponse;
    return response;
  }

  /** What the edge's fetch reaches. */
  readonly fetch = async (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    const url = String(input instanceof Request ? input.url : input);
    if (this.down || url !== `${this.endpoint}${COMMAND_PATH}`) throw new TypeError(`cannot reach ${url}`);
    const compact = String(init?.body);
    const verdict = await verifyEnvelope("command", compact, {
      nowSeconds: Math.floor(this.now() / 1000),
      issuer: this.enrolment.edge,
      audience: this.enrolment.hostId,
      epoch: this.enrolment.epoch,
      keys: await importKeyset(this.enrolment.keyset),
    });
    if (!verdict.ok) return Response.json({ code: "command_refused" }, { status: 403 });
    const { command } = verdict.claims;
    this.commands.push(command);
    if (command.type === "host.apply") this.enrolment = { ...this.enrolment, keyset: command.keyset };
    const result = {
      ...freshClaims(Math.floor(this.now() / 1000), crypto.getRandomValues(new Uint8Array(16))),
      iss: this.enrolment.hostId,
      aud: this.enrolment.edge,
      epoch: this.enrolment.epoch,
      result: {
        type: "command.result" as const,
        commandHash: await envelopeHash(this.resultIsAbout ?? compact),
        outcome: this.answer?.(command) ?? this.#judge(command),
      },
    };
    return new Response(await signEnvelope("result", result, await this.#key()));
  };

  #judge(command: Command): CommandOutcome {
    if (command.type === "host.apply" || command.type === "host.reap" || command.type === "host.probe")
      return { status: "accepted" };
    const id = command.type === "tenant.apply" ? command.tenant.id : command.tenantId;
    const have = this.generations.get(id) ?? 0;
    if (command.generation < have) return { status: "refused", reason: "generation_stale", have };
    this.generations.set(id, command.generation);
    return { status: command.generation === have ? "already_applied" : "accepted" };
  }

  /** Signs reports with the next numbers. */
  async report(...reports: Unnumbered[]): Promise<string> {
    return this.sign(this.number(...reports));
  }

  /** What its journal would keep until the edge has heard it. */
  number(...reports: Unnumbered[]): Report[] {
    return reports.map((report) => ({ at: Date.now(), ...report, seq: ++this.#seq }) as Report);
  }

  async sign(reports: Report[], more: object = {}): Promise<string> {
    const claims = {
      ...freshClaims(Math.floor(this.now() / 1000), crypto.getRandomValues(new Uint8Array(16))),
      iss: this.enrolment.hostId,
      aud: this.enrolment.edge,
      epoch: this.enrolment.epoch,
      lastSeq: Math.max(this.#seq, ...reports.map(({ seq }) => seq)),
      keyset: { version: this.enrolment.keyset.version, kids: this.enrolment.keyset.keys.map(({ kid }) => kid) },
      reports,
      ...more,
    };
    return signEnvelope("report", claims, await this.#key());
  }

  async post(edge: TestEdge, compact: string): Promise<Response> {
    return edge.send("/api/hosts/reports", {
      method: "POST",
      headers: { "content-type": "application/jose" },
      body: compact,
    });
  }

  /** The number up to which the edge has this report, by its signed word about these bytes; null for any other word. */
  async ackOf(response: Response, compact: string): Promise<number | null> {
    const verdict = await verifyEnvelope("ack", await response.text(), {
      nowSeconds: Math.floor(this.now() / 1000),
      issuer: this.enrolment.edge,
      audience: this.enrolment.hostId,
      epoch: this.enrolment.epoch,
      keys: await importKeyset(this.enrolment.keyset),
    });
    if (!verdict.ok || verdict.claims.ack.reportHash !== (await envelopeHash(compact))) return null;
    return verdict.claims.ack.ackedSeq;
  }

  async #key() {
    return { kid: await keyId(this.signing), privateKey: await importSigningKey(this.signing) };
  }
}

type Unnumbered = DistributiveOmit<Report, "seq" | "at"> & { at?: number };
type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
