import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type DoorRequest, decideAccess, safeReturn, type Verdict } from "./rules.ts";

const NOW = 1_800_000_000_000;
const ORIGIN = "https://alpha.agents.example";
const page: DoorRequest = {
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
const tenant = { id: "tnt_1", ownerId: "owner", deleted: false };
const session = { userId: "owner", expiresAtMs: NOW + 1 };
const decide = (
  request: Partial<DoorRequest>,
  over: { claims?: typeof claims | null; tenant?: typeof tenant | null; session?: typeof session | null } = {},
) => {
  const known = { claims, tenant, session, ...over };
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
    const id = fc.constantFrom("owner", "other", "");
    const host = fc.constantFrom("alpha.agents.example", "beta.agents.example", "");
    const time = fc.constantFrom(NOW - 1, NOW, NOW + 1, NOW + 86_400_000);
    const text = fc.option(
      fc.constantFrom("same-origin", "same-site", "cross-site", "none", "navigate", "cors", "document", "iframe"),
    );
    fc.assert(
      fc.property(
        fc.record({
          request: fc.record({
            method: fc.constantFrom("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "get"),
            uri: fc.oneof(fc.constantFrom("/", "/.chelar/callback?ticket=x", "/.chelar/x", "//evil"), fc.webPath()),
            slug: fc.option(fc.constant("alpha")),
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
          tenant: fc.option(fc.record({ id: fc.constant("t"), ownerId: id, deleted: fc.boolean() })),
          session: fc.option(fc.record({ userId: id, expiresAtMs: time })),
        }),
        ({ request, claims, tenant, session }) => {
          const verdict = decideAccess(request, claims, { tenant, session }, ORIGIN, NOW);
          if (verdict.kind !== "allow") return;
          expect(claims && session && tenant).toBeTruthy();
          expect([claims?.userId, session?.userId, verdict.userId]).toEqual(Array(3).fill(tenant?.ownerId));
          expect(claims?.hostname).toBe(request.hostname);
          expect(tenant?.deleted).toBe(false);
          expect(Math.min(claims?.expiresAtMs ?? 0, session?.expiresAtMs ?? 0)).toBeGreaterThan(NOW);
          expect(request.uri.startsWith("/.chelar/")).toBe(false);
          if (request.isWebSocket || request.method === "POST") expect([null, ORIGIN]).toContain(request.origin);
        },
      ),
      { numRuns: 3_000 },
    );
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
