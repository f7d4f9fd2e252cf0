import { eq } from "drizzle-orm";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { session, user } from "../../schema/db/index.ts";
import type { Client, TestEdge } from "../testing/edge.ts";
import { startSettled } from "../testing/settled.ts";

let edge: TestEdge;
let ada: Client;
beforeEach(async () => {
  ({ edge, owner: ada } = await startSettled());
});

const look = () => ada.request("GET", "/agents", undefined, { accept: "text/html" });
const isIn = async () => (await look()).status === 200;
const idOf = async () =>
  (await edge.db.select({ id: user.id }).from(user).where(eq(user.email, ada.email)))[0]?.id ?? "";

describe("a session", () => {
  it("is known by one question, person and all", async () => {
    const asked = vi.spyOn(globalThis, "fetch");
    expect((await ada.request("GET", "/account/password")).status).toBe(200);
    expect(asked.mock.calls).toHaveLength(1);
    asked.mockRestore();
  });

  it("is over with its row, at once", async () => {
    expect(await isIn()).toBe(true);
    await edge.db.delete(session).where(eq(session.userId, await idOf()));
    expect(await isIn()).toBe(false);
  });

  it("is nobody's while its person is suspended, though its row is still there", async () => {
    const change = (suspendedAt: Date | null) =>
      edge.db.update(user).set({ suspendedAt }).where(eq(user.email, ada.email));
    await change(new Date());
    expect(await isIn()).toBe(false);
    await change(null);
    expect(await isIn()).toBe(true);
  });

  it("is nobody's with a token that we have not signed", async () => {
    const [name = "", value = ""] = ada.cookie.split("=");
    const [token, signature = ""] = decodeURIComponent(value).split(/\.(?=[^.]*$)/);
    const turned = signature.startsWith("A") ? `B${signature.slice(1)}` : `A${signature.slice(1)}`;
    ada.cookie = `${name}=${encodeURIComponent(`${token}.${turned}`)}`;
    expect(await isIn()).toBe(false);
  });

  it("is renewed once it is a day old, row and cookie, and ends a week after it was last used", async () => {
    const hers = eq(session.userId, await idOf());
    const expire = (days: number) =>
      edge.db
        .update(session)
        .set({ expiresAt: new Date(Date.now() + days * 86_400_000) })
        .where(hers);
    await expire(5.9);
    expect((await look()).headers.getSetCookie().join()).toContain("session_token=");
    const [row] = await edge.db.select().from(session).where(hers);
    expect(row?.expiresAt.getTime()).toBeGreaterThan(Date.now() + 6.9 * 86_400_000);
    expect((await look()).headers.getSetCookie()).toEqual([]);
    await expire(-1);
    expect(await isIn()).toBe(false);
  });
});
