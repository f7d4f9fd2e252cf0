import { beforeAll, describe, expect, it } from "vitest";
import { parseEnv, tenantHostnameOf, tenantOriginOf } from "./env.ts";
import { testBindings } from "./testing/edge.ts";

let good: Record<string, string>;
beforeAll(async () => {
  good = await testBindings();
});
const refusalOf = (change: Record<string, string | undefined>): string => {
  try {
    parseEnv({ ...good, ...change });
  } catch (error) {
    return (error as Error).message;
  }
  return "accepted";
};

describe("the bindings", () => {
  it("become typed configuration", () => {
    const config = parseEnv(good);
    expect(config.secureCookies).toBe(true);
    expect(tenantHostnameOf(config.tenants, "alpha")).toBe("alpha.agents.example");
    expect(tenantOriginOf(config.tenants, "alpha")).toBe("https://alpha.agents.example");
    const local = parseEnv({
      ...good,
      DASHBOARD_ORIGIN: "http://localhost:8787",
      TENANT_ORIGIN: "http://*.agents.localhost:8080",
    });
    expect(tenantOriginOf(local.tenants, "alpha")).toBe("http://alpha.agents.localhost:8080");
    expect([local.secureCookies, local.tenants.domain]).toEqual([false, ".agents.localhost"]);
  });

  it.each([
    ["DASHBOARD_ORIGIN", "https://chelar.example/"],
    ["DASHBOARD_ORIGIN", "chelar.example"],
    ["TENANT_ORIGIN", "https://agents.example"],
    ["TENANT_ORIGIN", "https://*.agents.example/x"],
    ["TENANT_ORIGIN", "https://x-*.agents.example"],
    ["DATABASE_URL", "file:local.db"],
    ["AUTH_SECRET", "too-short-canary"],
    ["OPERATOR_TOKEN", "canary"],
    ["COMMAND_KEYS", "{canary"],
    ["COMMAND_KEYS", '{"version":1,"current":"a","keys":[]}'],
    ["VAULT_KEYS", '{"current":2,"keys":{"1":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"}}'],
    ["VAULT_KEYS", '{"current":1,"keys":{"1":"canary"}}'],
    ["TICKET_KEY", '{"kty":"OKP"}'],
    ["MAX_TENANTS_PER_OWNER", "-1"],
    ["STOP_AFTER_SECONDS", "0"],
    ["AUTH_RATE_LIMIT", "maybe"],
    ["MAIL", '{"driver":"smtp","key":"canary"}'],
    ["MAIL", '{"driver":"resend","key":"canary-canary"}'],
    ["GOOGLE_SIGN_IN", '{"clientId":"canary"}'],
    ["BILLING", "free"],
    ["BILLING", '{"mode":"stripe","key":"canary"}'],
  ])("refuse %s=%s in one sentence that names it and never its value", (name, value) => {
    const sentence = refusalOf({ [name]: value });
    expect(sentence).toMatch(new RegExp(`^The binding ${name} is not accepted: it takes .+\\.$`));
    expect(sentence).not.toContain("canary");
  });

  it("refuse the mailbox of a developer's machine for any dashboard but one at localhost", () => {
    const MAIL = '{"driver":"mailbox"}';
    expect(refusalOf({ MAIL })).toContain("the mailbox is for a dashboard at localhost");
    const TENANT_ORIGIN = "http://*.agents.localhost:8080";
    expect(refusalOf({ MAIL, TENANT_ORIGIN, DASHBOARD_ORIGIN: "http://localhost:8787" })).toBe("accepted");
    expect(refusalOf({ MAIL, TENANT_ORIGIN, DASHBOARD_ORIGIN: "http://notlocalhost:8787" })).toContain("mailbox");
  });

  it("say which one is missing", () => {
    expect(refusalOf({ VAULT_KEYS: undefined })).toMatch(/^The binding VAULT_KEYS is missing: it takes /);
  });

  it("refuse agents below the dashboard's own host name, which could plant cookies there", () => {
    for (const DASHBOARD_ORIGIN of ["https://chelar.example", "https://agents.chelar.example"]) {
      const sentence = refusalOf({ DASHBOARD_ORIGIN, TENANT_ORIGIN: "https://*.agents.chelar.example" });
      expect(sentence).toContain("another domain than the dashboard");
    }
  });

  it("refuse a dashboard that lives among the agents", () => {
    for (const DASHBOARD_ORIGIN of ["https://dash.agents.example", "https://agents.example"]) {
      expect(refusalOf({ DASHBOARD_ORIGIN })).toContain("another domain than the dashboard");
    }
  });
});
