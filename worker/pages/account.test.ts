import { beforeEach, describe, expect, it } from "vitest";
import { browserName } from "./browsers.ts";
import { qrModules } from "./qr.ts";
import { errorAt, type Visit, visit } from "./visiting.ts";

let ada: Visit;
beforeEach(() => {
  ada = visit();
  Object.assign(ada.world.security, {
    sessions: [
      session("s1", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36", true),
      session("s2", `<script>alert("x")</script>`, false),
    ],
    passkeys: [{ id: "p1", name: `"><script>alert("x")</script>`, createdAt: "2026-11-22T09:02:11.123Z" }],
    keys: [{ id: "k1", name: "ci", hint: "chk_abcdef", scopes: ["tenants:read"], createdAt: AT, expiresAt: AT }],
  });
});
const AT = "2026-11-22T09:02:11.123Z";
const session = (id: string, browser: string, current: boolean) => ({
  ...{ id, browser, current, address: "203.0.113.7", createdAt: AT, expiresAt: AT },
});
const PATHS = ["/account", "/account/password", "/account/two-factor", "/account/keys/new"];
const location = (answer: Response) => answer.headers.get("location");

describe("the page of one's own account", () => {
  it.each(PATHS)("%s is for who is signed in, is kept by no cache, and holds no inline script", async (path) => {
    const stranger = await ada.get(path, {});
    expect([stranger.status, location(stranger)]).toEqual([303, "/sign-in?next=%2Faccount"]);
    const answer = await ada.get(path);
    expect([answer.status, answer.headers.get("cache-control")]).toEqual([200, "no-store"]);
    const html = await answer.text();
    expect(html.match(/<h1>/g)).toHaveLength(1);
    expect(html).not.toMatch(/<style|\sstyle=|\son[a-z]+=|javascript:|<script>/i);
  });

  it.each([
    "sessions/end",
    "passkeys/remove",
    "password",
    "two-factor",
    "two-factor/confirm",
    "keys/new",
    "keys/remove",
  ])("changes nothing for a stranger by a post to %s", async (path) => {
    const answer = await ada.post(`/account/${path}`, { id: "s2", password: "x", newPassword: "x", name: "x" }, {});
    expect(location(answer)).toBe("/sign-in?next=%2Faccount");
    expect(ada.world.acts).toEqual([]);
  });

  it("ends the session that was chosen, or all others, and never offers to end one's own", async () => {
    const html = await (await ada.get("/account")).text();
    expect(html).toContain(`name="id" value="s2"`);
    expect(html).not.toContain(`name="id" value="s1"`);
    await ada.post("/account/sessions/end", { id: "s2" });
    await ada.post("/account/sessions/end", {});
    expect(ada.world.acts).toEqual([
      { path: "end", body: { which: "s2" } },
      { path: "end", body: { which: null } },
    ]);
  });

  it("shows a new key once, keeps what was typed, and says at the field what is missing", async () => {
    const made = await ada.post("/account/keys/new", { name: "ci", scopes: "tenants:write", days: "30" });
    expect(await made.text()).toContain("chk_shown-once");
    expect(ada.world.acts).toEqual([
      { path: "key", body: { name: "ci", scopes: ["tenants:write"], expiresInDays: 30 } },
    ]);
    const nothing = await ada.post("/account/keys/new", { name: "ci", days: "365" });
    const html = await nothing.clone().text();
    expect(nothing.status).toBe(422);
    expect(html).toContain("A key has to be good for something.");
    expect(html).toContain(`value="365" selected`);
    expect(await errorAt(await ada.post("/account/keys/new", { scopes: "tenants:read" }), "name")).toContain("name");
    await ada.post("/account/keys/new", { name: "x", scopes: "everything", days: "100000" });
    expect(ada.world.acts).toHaveLength(1);
  });

  it("takes nothing but an authenticator's address for the drawing of the second step", async () => {
    const evil = { uri: "javascript:alert(1)", codes: "a b", code: "000000" };
    const html = await (await ada.post("/account/two-factor/confirm", evil)).text();
    expect(html).not.toContain("javascript:");
    expect(ada.world.acts).toEqual([]);
  });
});

describe("a QR code", () => {
  it("is drawn for any address of an authenticator, in the smallest size that holds it", () => {
    const sizes = [1, 17, 18, 78, 79, 134, 135, 192, 230, 271].map((length) => qrModules("x".repeat(length))?.length);
    expect(sizes).toEqual([21, 21, 25, 33, 37, 41, 45, 49, 53, 57]);
    expect(qrModules("x".repeat(272))).toBeNull();
  });

  it("is the very drawing that independent readers have read", () => {
    const rows = qrModules("A")?.map((row) => row.map((dark) => (dark ? "#" : ".")).join(""));
    expect(rows).toEqual(READ_BY_JSQR);
  });
});

it.each([
  [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0",
    "Edge on Windows",
  ],
  ["Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/19.0 Safari/605.1.15", "Safari on macOS"],
  ["Mozilla/5.0 (Android 16; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0", "Firefox on Android"],
  ["curl/8.9", "Another program"],
  [null, "Unknown browser"],
])("%s is called %s", (userAgent, name) => expect(browserName(userAgent)).toBe(name));

const READ_BY_JSQR = [
  "#######..#.##.#######",
  "#.....#..###..#.....#",
  "#.###.#.##.##.#.###.#",
  "#.###.#..#.#..#.###.#",
  "#.###.#...#.#.#.###.#",
  "#.....#.....#.#.....#",
  "#######.#.#.#.#######",
  "........##.##........",
  "###.########.##...#..",
  "#.##....#.....#...##.",
  ".#.####..##.#...#...#",
  ".#.##...##....#...#..",
  "..##.##.#...#.#.#.#.#",
  "........#..#.#.#.#.#.",
  "#######.#.##.###.####",
  "#.....#.######.###...",
  "#.###.#.##.#.###.##.#",
  "#.###.#..##...#...##.",
  "#.###.#.##..#...#...#",
  "#.....#.#.....#...##.",
  "#######.###.#.#.#.###",
];
