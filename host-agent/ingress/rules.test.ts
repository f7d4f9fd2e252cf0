import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ingressVariants, isClosed, isPageLoad, requestedHost, takeToken, tenantCookies } from "./rules.ts";

describe("tenantCookies", () => {
  it.each([
    ["a=1; b=2", "a=1; b=2"],
    ["chelar-door=s", ""],
    ["a=1;chelar-bind=s;b=2", "a=1; b=2"],
    ["__HOST-CHELAR=s; a=1", "a=1"],
    ['a="x, chelar-door=s"; b=2', "b=2"],
    ["=chelar-door=s", ""],
    ["chelar-door", ""],
    [" ; ;a=1; ", "a=1"],
    [undefined, ""],
  ])("%j becomes %j", (header, expected) => {
    expect(tenantCookies(header)).toBe(expected);
  });

  it("never lets one of our names through, whatever surrounds it", () => {
    const ours = fc.constantFrom("__Host-chelar", "chelar-door", "CHELAR-BIND", "Chelar-Door");
    fc.assert(
      fc.property(fc.string(), ours, fc.string(), (before, name, after) => {
        expect(tenantCookies(`${before}${name}${after}`).toLowerCase()).not.toContain(name.toLowerCase());
      }),
    );
  });
});

describe("requestedHost", () => {
  it.each([
    ["Ada.Agents.Localhost:8080", "ada.agents.localhost"],
    ["ada.agents.localhost.", "ada.agents.localhost"],
    ["ada.agents.localhost.:443", "ada.agents.localhost"],
    [undefined, ""],
  ])("%j is %j", (header, expected) => {
    expect(requestedHost(header)).toBe(expected);
  });
});

describe("takeToken", () => {
  it("lets through at most the allowance and what has been refilled, however requests are spread", () => {
    const pauses = fc.array(fc.integer({ min: 0, max: 5_000 }), { maxLength: 300 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 600 }), pauses, (perMinute, spread) => {
        let now = 0;
        let bucket: Parameters<typeof takeToken>[0] = null;
        let passed = 0;
        for (const pause of spread) {
          now += pause;
          const outcome = takeToken(bucket, perMinute, now);
          bucket = outcome.bucket;
          if (outcome.taken) passed++;
        }
        expect(passed).toBeLessThanOrEqual(perMinute + (perMinute * now) / 60_000 + 1e-6);
      }),
    );
  });

  it("names a pause after which the next request passes", () => {
    const empty = { tokens: 0, at: 0 };
    const refused = takeToken(empty, 7, 0);
    expect(refused.taken).toBe(false);
    if (!refused.taken) expect(takeToken(refused.bucket, 7, refused.retryAfterSeconds * 1000).taken).toBe(true);
  });

  it("takes nothing away when the clock steps back", () => {
    expect(takeToken({ tokens: 5, at: 10_000 }, 60, 0)).toEqual({ taken: true, bucket: { tokens: 4, at: 0 } });
  });
});

describe("ingressVariants", () => {
  it.each([
    ["2.6.2\n", "2.6"],
    ["v2.6.4 h1:x=", "2.6"],
    ["v2.7.0 h1:x=", "2.7"],
    ["v2.11.4 h1:x=", "2.7"],
    ["3.0.0", "2.7"],
    ["(devel)", "2.6"],
  ])("a Caddy that says %j takes the words of %s", (caddyVersion, expected) => {
    expect(ingressVariants({ tenantSite: "http://*.a.example", caddyVersion }).CHELAR_CADDY).toBe(expected);
  });

  it("TLS is on where the site says https", () => {
    const tls = (tenantSite: string) => ingressVariants({ tenantSite, caddyVersion: "2.6.2" }).CHELAR_TLS;
    expect([tls("https://*.a.example"), tls("http://*.a.example:8080")]).toEqual(["on", "off"]);
  });
});

describe("paths that are for the host alone", () => {
  const closed = ["/api/v1/admin"];
  it.each([
    "/api/v1/admin",
    "/api/v1/admin/rpc?x=1",
    "/API/V1/Admin/rpc",
    "//api//v1///admin/rpc",
    "/api/v1/./admin/rpc",
    "/api/v1/x/../admin/rpc",
    "/api/v1/%61dmin/rpc",
    "/api/v1%2fadmin%2frpc",
    "/api/v1/%2561dmin/rpc",
    "/api\\v1\\admin\\rpc",
    "/x/%2e%2e/api/v1/admin/rpc",
    "/x/%252e%252e/api/v1/admin/rpc",
    "/x%zz/../api/v1/admin/rpc%zz",
  ])("%s is closed", (path) => expect(isClosed(path, closed)).toBe(true));
  it.each(["/", "/api/v1/administration", "/api/v1/chat?next=/api/v1/admin", "/files/100%25", "/%zz", undefined])(
    "%s is open",
    (path) => expect(isClosed(path, closed)).toBe(false),
  );
});

describe("who gets a waiting page", () => {
  it.each([
    [{ "sec-fetch-mode": "navigate" }, true],
    [{ accept: "text/html,*/*;q=0.8" }, true],
    [{ accept: "text/html", "sec-fetch-mode": "cors" }, false],
    [{ accept: "text/html", "x-forwarded-method": "POST" }, false],
    [{ accept: "text/html", upgrade: "websocket" }, false],
    [{ accept: "application/json" }, false],
    [{}, false],
  ])("%j: %s", (headers, expected) => expect(isPageLoad(headers)).toBe(expected));
});
