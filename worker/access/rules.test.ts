import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type DoorRequest, decideAccess, safeReturn, type Verdict } from "./rules.ts";

const NOW = 1_800_000_000_000;
const ORIGIN = "https://alpha.agents.example";
const page: DoorRequest = {
  hostId: "hst_1",
  method: "GET",
  uri: "/chat?x=1",
  slug: "alpha",
  hostname: "alpha.agents.example",
  doorCookies: [],
  bindCookies: [],
  origin: null,
  isWebSocket: false,
  fetchSite: null,
  fetchMode: null,
  fetchDest: null,
  acceptsHtml: true,
};
const claims = { userId: "owner", sessionId: "s1", hostname: "alpha.agents.example", expiresAtMs: NOW + 1 };
const tenant = { id: "tnt_1", ownerId: "owner", hostId: "hst_1", deleted: false };
const holder = { userId: "owner", expiresAtMs: NOW + 1, mayOpenAgents: true };
const session = { userId: "owner", expiresAtMs: NOW + 1 };
const decide = (
  request: Partial<DoorRequest>,
  over: {
    claims?: typeof claims | null;
    tenant?: typeof tenant | null;
    session?: typeof session | null;
    holder?: typeof holder | null;
  } = {},
) => {
  const known = { claims, tenant, session, holder: null, ...over };
  return decideAccess({ ...page, ...request }, known.claims, known, ORIGIN, NOW);
};

describe("the door's decision", () => {
  const api = { acceptsHtml: false };
  it.each<[string, Parameters<typeof decide>, Verdict["kind"]]>([
    ["lets the owner in", [{}], "allow"],
    ["lets the owner's WebSocket in", [{ isWebSocket: true, origin: ORIGIN }], "allow"],
    ["lets the owner post from the agent's own page", [{ method: "POST", origin: ORIGIN }], "allow"],
    [
      "lets a link from anywhere open the page",
      [{ fetchSite: "cross-site", fetchMode: "navigate", fetchDest: "document" }],
      "allow",
    ],
    ["sends a page load without a ticket to sign in", [{}, { claims: null }], "sign_in"],
    ["answers a script without a ticket 401", [api, { claims: null }], "unauthenticated"],
    [
      "answers a fetch that accepts HTML 401",
      [{ fetchMode: "cors", fetchSite: "same-origin" }, { claims: null }],
      "unauthenticated",
    ],
    [
      "answers a frame 401, since the dashboard cannot be framed",
      [{ fetchMode: "navigate", fetchDest: "iframe", fetchSite: "same-origin" }, { claims: null }],
      "unauthenticated",
    ],
    ["answers a form post without a ticket 401", [{ method: "POST" }, { claims: null }], "unauthenticated"],
    [
      "answers a WebSocket without a ticket 401",
      [{ isWebSocket: true, origin: ORIGIN }, { claims: null }],
      "unauthenticated",
    ],
    ["refuses a session that has ended", [api, { session: null }], "unauthenticated"],
    ["refuses a session that expires now", [api, { session: { ...session, expiresAtMs: NOW } }], "unauthenticated"],
    [
      "refuses a session that is another person's",
      [api, { session: { ...session, userId: "other" } }],
      "unauthenticated",
    ],
    ["refuses a ticket that expires now", [api, { claims: { ...claims, expiresAtMs: NOW } }], "unauthenticated"],
    [
      "refuses a ticket of another agent",
      [api, { claims: { ...claims, hostname: "beta.agents.example" } }],
      "unauthenticated",
    ],
    ["tells a stranger that it is not theirs", [{}, { tenant: { ...tenant, ownerId: "other" } }], "not_owner"],
    ["lets a program in with a key for opening agents", [api, { claims: null, session: null, holder }], "allow"],
    [
      "tells a key for other things that it is too narrow",
      [api, { claims: null, session: null, holder: { ...holder, mayOpenAgents: false } }],
      "narrow_key",
    ],
    [
      "refuses a key that runs out now",
      [api, { claims: null, session: null, holder: { ...holder, expiresAtMs: NOW } }],
      "unauthenticated",
    ],
    [
      "tells a stranger's key that the agent is not theirs, before what it is good for",
      [api, { claims: null, session: null, holder: { ...holder, userId: "other", mayOpenAgents: false } }],
      "not_owner",
    ],
    ["does not help a cookie that has ended by a key", [api, { session: null, holder }], "unauthenticated"],
    ["answers no host about another host's agent", [{ hostId: "hst_2" }], "nobody"],
    ["knows no host name that is nobody's", [{}, { tenant: null }], "nobody"],
    ["knows no agent that is being deleted", [{}, { tenant: { ...tenant, deleted: true } }], "nobody"],
    ["knows no host name of another form", [{ slug: null }], "nobody"],
    ["keeps everything below /.chelar/ from the container", [{ uri: "/.chelar/commands" }], "nobody"],
    ["keeps /.chelar itself from the container", [{ uri: "/.chelar?x" }], "nobody"],
    ["takes a ticket at the callback", [{ uri: "/.chelar/callback?ticket=abc" }], "redeem"],
    ["signs out", [{ uri: "/.chelar/sign-out" }], "sign_out"],
    ["refuses a post that another site caused", [{ method: "POST", origin: "https://evil.example" }], "foreign_site"],
    [
      "refuses a post that a neighbouring agent caused",
      [{ method: "POST", origin: "https://beta.agents.example" }],
      "foreign_site",
    ],
    ["refuses a post of an opaque origin", [{ method: "POST", origin: "null" }], "foreign_site"],
    [
      "refuses a WebSocket from a neighbouring agent's page",
      [{ isWebSocket: true, origin: "https://beta.agents.example" }],
      "foreign_site",
    ],
    [
      "refuses a neighbour's invisible request for data",
      [{ fetchSite: "same-site", fetchMode: "no-cors", fetchDest: "image" }],
      "foreign_site",
    ],
    [
      "refuses to be framed by a neighbour",
      [{ fetchSite: "same-site", fetchMode: "navigate", fetchDest: "iframe" }],
      "foreign_site",
    ],
  ])("%s", (_guarantee, args, kind) => expect(decide(...args).kind).toBe(kind));

  it("says 200 to nobody but the owner with a live session for that very host name", () => {
    // Mostly what is right: among choices that are all even, hardly any request would be let in.
    const mostly = <T>(right: T, ...wrong: T[]) =>
      fc.oneof({ weight: 8, arbitrary: fc.constant(right) }, { weight: 2, arbitrary: fc.constantFrom(...wrong) });
    const id = mostly("owner", "other", "");
    const host = mostly("alpha.agents.example", "beta.agents.example", "");
    const time = mostly(NOW + 1, NOW - 1, NOW, NOW + 86_400_000);
    const text = fc.option(
      mostly("same-origin", "same-site", "cross-site", "none", "navigate", "cors", "document", "iframe"),
    );
    let allowed = 0;
    fc.assert(
      fc.property(
        fc.record({
          request: fc.record({
            hostId: mostly("hst_1", "hst_2"),
            method: mostly("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "get"),
            uri: fc.oneof(mostly("/", "/.chelar/callback?ticket=x", "/.chelar/x", "//evil"), fc.webPath()),
            slug: mostly<string | null>("alpha", null),
            hostname: host,
            doorCookies: fc.constant([]),
            bindCookies: fc.constant([]),
            origin: fc.option(fc.constantFrom(ORIGIN, "https://beta.agents.example", "null")),
            isWebSocket: fc.boolean(),
            fetchSite: text,
            fetchMode: text,
            fetchDest: text,
            acceptsHtml: fc.boolean(),
          }),
          claims: fc.option(fc.record({ userId: id, sessionId: fc.constant("s"), hostname: host, expiresAtMs: time })),
          tenant: fc.option(
            fc.record({ id: fc.constant("t"), ownerId: id, hostId: fc.constant("hst_1"), deleted: fc.boolean() }),
          ),
          session: fc.option(fc.record({ userId: id, expiresAtMs: time })),
          holder: fc.option(fc.record({ userId: id, expiresAtMs: time, mayOpenAgents: mostly(true, false) })),
        }),
        ({ request, claims, tenant, session, holder }) => {
          const verdict = decideAccess(request, claims, { tenant, session, holder }, ORIGIN, NOW);
          if (verdict.kind !== "allow") return;
          allowed += 1;
          expect([tenant?.ownerId, tenant?.deleted, tenant?.hostId]).toEqual([verdict.userId, false, request.hostId]);
          if (claims) {
            expect([claims.userId, session?.userId, claims.hostname]).toEqual([
              verdict.userId,
              verdict.userId,
              request.hostname,
            ]);
            expect(Math.min(claims.expiresAtMs, session?.expiresAtMs ?? 0)).toBeGreaterThan(NOW);
          } else {
            expect(holder).toMatchObject({ userId: verdict.userId, mayOpenAgents: true });
            expect(holder?.expiresAtMs).toBeGreaterThan(NOW);
          }
          expect(request.uri.startsWith("/.chelar/")).toBe(false);
          if (request.isWebSocket || request.method === "POST") expect([null, ORIGIN]).toContain(request.origin);
        },
      ),
      { numRuns: 5_000 },
    );
    // A property that never meets a yes proves nothing.
    expect(allowed).toBeGreaterThan(100);
  });
});

describe("safeReturn", () => {
  it.each([
    "//evil.example",
    "/\\evil.example",
    "https://evil.example",
    "javascript:alert(1)",
    "",
    "/a\nb",
    "/a b",
    `/${"a".repeat(2_001)}`,
    "/.chelar/callback?ticket=x",
    "/é",
  ])("turns %j into the front page", (uri) => expect(safeReturn(uri)).toBe("/"));
  it("keeps every path on the same host, and nothing else", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.webPath(), fc.webUrl()), (uri) => {
        const kept = safeReturn(uri);
        expect(new URL(kept, ORIGIN).origin).toBe(ORIGIN);
      }),
    );
    expect(safeReturn("/chat?a=1&b=%2F")).toBe("/chat?a=1&b=%2F");
  });
});
