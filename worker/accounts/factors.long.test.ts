import { createHmac } from "node:crypto";
import { eq } from "drizzle-orm";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { passkey, session, twoFactor, user } from "../../schema/db/index.ts";
import { Client, randomText, startTestEdge, type TestEdge } from "../testing/edge.ts";

let edge: TestEdge;
let owner: Client;
beforeAll(async () => {
  edge = await startTestEdge();
});
beforeEach(async () => {
  owner = await new Client(edge).signUp();
});

/** RFC 6238, as an authenticator app computes it. `step` 1 is the code that comes next. */
function codeOf(uri: string, step = 0): string {
  const base32 = new URL(uri).searchParams.get("secret") ?? "";
  const bits = [...base32]
    .map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0"))
    .join("");
  const key = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + step));
  const hash = createHmac("sha1", key).update(counter).digest();
  const at = (hash.at(-1) as number) & 15;
  return String((hash.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

const post = (client: Client, path: string, body: object) => client.request("POST", `/api/auth${path}`, body);
const codeIn = async (response: Response) => [response.status, ((await response.json()) as { code: string }).code];
const isIn = async (client: Client) =>
  (await edge.send("/api/v1/me", { headers: { cookie: client.cookie } })).status === 200;

/** Turns it on with the code of the time before, so that the present and the next one are left. */
async function turnOn(): Promise<{ uri: string; codes: string[] }> {
  const answer = await post(owner, "/two-factor/enable", { password: owner.password });
  const { totpURI, backupCodes } = (await answer.json()) as { totpURI: string; backupCodes: string[] };
  expect((await post(owner, "/two-factor/verify-totp", { code: codeOf(totpURI, -1) })).status).toBe(200);
  return { uri: totpURI, codes: backupCodes };
}
/** The password was right; the second factor is still asked. */
async function halfway(): Promise<Client> {
  const client = new Client(edge);
  const answer = await post(client, "/sign-in/email", { email: owner.email, password: owner.password });
  expect(await answer.json()).toMatchObject({ twoFactorRedirect: true });
  expect(await isIn(client)).toBe(false);
  return client;
}

describe("a code from an app", () => {
  it("is asked after the password, opens with the right one, and the session before it is none", async () => {
    const { uri } = await turnOn();
    const client = await halfway();
    expect(await codeIn(await post(client, "/two-factor/verify-totp", { code: "000000" }))).toEqual([
      401,
      "invalid_code",
    ]);
    expect(await isIn(client)).toBe(false);
    expect((await post(client, "/two-factor/verify-totp", { code: codeOf(uri) })).status).toBe(200);
    expect(await isIn(client)).toBe(true);
  });

  it("that was read over the shoulder opens nothing a second time", async () => {
    const { uri } = await turnOn();
    const code = codeOf(uri, 1);
    const [first, second] = [await halfway(), await halfway()];
    expect((await post(first, "/two-factor/verify-totp", { code })).status).toBe(200);
    expect(await codeIn(await post(second, "/two-factor/verify-totp", { code }))).toEqual([401, "invalid_code"]);
    expect(await isIn(second)).toBe(false);
  });

  it("is replaced by a recovery code once, and by new ones never by an old one", async () => {
    const { codes } = await turnOn();
    const [code = "", other = ""] = codes;
    expect((await post(await halfway(), "/two-factor/verify-backup-code", { code })).status).toBe(200);
    expect(await codeIn(await post(await halfway(), "/two-factor/verify-backup-code", { code }))).toEqual([
      ...[401, "invalid_backup_code"],
    ]);
    const fresh = await post(owner, "/two-factor/generate-backup-codes", { password: owner.password });
    expect(fresh.status).toBe(200);
    expect((await post(await halfway(), "/two-factor/verify-backup-code", { code: other })).status).toBe(401);
  });

  it("cannot be guessed: five wrong ones end the attempt, ten in a row lock the second step", async () => {
    const { uri } = await turnOn();
    for (let attempt = 0; attempt < 2; attempt++) {
      const client = await halfway();
      for (let wrong = 0; wrong < 5; wrong++) await post(client, "/two-factor/verify-totp", { code: `00000${wrong}` });
      expect((await post(client, "/two-factor/verify-totp", { code: codeOf(uri) })).status).toBeGreaterThanOrEqual(400);
      expect(await isIn(client)).toBe(false);
    }
    const locked = await post(await halfway(), "/two-factor/verify-totp", { code: codeOf(uri) });
    expect(await codeIn(locked)).toEqual([429, "account_temporarily_locked"]);
  });

  it("is turned off only with the password, and the owner is told", async () => {
    await turnOn();
    expect((await post(owner, "/two-factor/disable", { password: "wrong password!" })).status).toBe(400);
    expect((await post(owner, "/two-factor/disable", {})).status).toBe(400);
    expect(edge.letters.at(-1)?.text).not.toContain("no longer asks");
    expect((await post(owner, "/two-factor/disable", { password: owner.password })).status).toBe(200);
    expect(edge.letters.at(-1)).toMatchObject({ to: owner.email, text: expect.stringContaining("no longer asks") });
  });

  it("is asked of every browser every time, also of one that would rather be trusted", async () => {
    const { uri } = await turnOn();
    const client = await halfway();
    await post(client, "/two-factor/verify-totp", { code: codeOf(uri), trustDevice: true });
    expect(await isIn(client)).toBe(true);
    await post(client, "/sign-out", {});
    const answer = await post(client, "/sign-in/email", { email: owner.email, password: owner.password });
    expect(await answer.json()).toMatchObject({ twoFactorRedirect: true });
  });

  it("stays asked after the password was reset by mail", async () => {
    await turnOn();
    await post(owner, "/request-password-reset", { email: owner.email });
    const newPassword = "chosen by whoever reads the mail";
    await post(owner, "/reset-password", { token: owner.tokenInMail("/reset"), newPassword });
    const client = new Client(edge);
    const answer = await post(client, "/sign-in/email", { email: owner.email, password: newPassword });
    expect(await answer.json()).toMatchObject({ twoFactorRedirect: true });
    expect(await isIn(client)).toBe(false);
  });

  it("lies in the database only encrypted", async () => {
    const { uri, codes } = await turnOn();
    const rows = JSON.stringify(await edge.db.select().from(twoFactor));
    for (const secret of [new URL(uri).searchParams.get("secret") ?? "", ...codes]) expect(rows).not.toContain(secret);
  });
});

describe("a passkey", () => {
  const register = (client: Client) => client.request("GET", "/api/auth/passkey/generate-register-options");

  it("is offered for this very site, only with a check of the person, and only to a fresh session", async () => {
    const options = (await (await register(owner)).json()) as Record<string, unknown>;
    expect(options).toMatchObject({
      rp: { id: "chelar.example" },
      authenticatorSelection: { residentKey: "required", userVerification: "required" },
    });
    await edge.db.update(session).set({ createdAt: new Date(Date.now() - 3_600_000) });
    expect(await codeIn(await register(owner))).toEqual([403, "session_not_fresh"]);
    expect((await register(new Client(edge))).status).toBe(401);
  });

  it.each([
    ["nothing", {}],
    ["no challenge", { response: { id: "x" } }],
    ["a response that is text", { response: "x" }],
    ["an empty response", { response: {} }],
  ])("sign-in with %s is the sender's mistake", async (_what, body) => {
    const response = await post(new Client(edge), "/passkey/verify-authentication", body);
    expect([400, 401]).toContain(response.status);
    expect(response.headers.get("content-type")).toBe("application/problem+json");
  });

  it("that is unknown opens nothing, and its challenge is spent", async () => {
    const client = new Client(edge);
    await client.request("GET", "/api/auth/passkey/generate-authenticate-options");
    const body = { response: { id: randomText(), rawId: "x", type: "public-key", response: {} } };
    expect(await codeIn(await post(client, "/passkey/verify-authentication", body))).toEqual([
      401,
      "passkey_not_found",
    ]);
    expect(await codeIn(await post(client, "/passkey/verify-authentication", body))).toEqual([
      400,
      "challenge_not_found",
    ]);
  });

  it("is removed only by its owner, and takes all other sessions with it", async () => {
    const [row] = await edge.db.select().from(user).where(eq(user.email, owner.email));
    const id = randomText();
    await edge.db.insert(passkey).values({
      ...{ id, userId: row?.id as string, publicKey: "AA", credentialID: id, counter: 0 },
      ...{ deviceType: "singleDevice", backedUp: false },
    });
    const elsewhere = new Client(edge);
    await post(elsewhere, "/sign-in/email", { email: owner.email, password: owner.password });
    const stranger = await new Client(edge).signUp();
    expect((await post(stranger, "/passkey/delete-passkey", { id })).status).toBe(401);
    expect(await isIn(elsewhere)).toBe(true);
    expect((await post(owner, "/passkey/delete-passkey", { id })).status).toBe(200);
    expect([await isIn(owner), await isIn(elsewhere)]).toEqual([true, false]);
  });
});
