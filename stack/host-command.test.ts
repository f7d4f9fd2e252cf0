import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { hostCommand } from "./host-command.ts";

/** An edge that hands on what a host that was broken into says of itself. */
const host = {
  ...{ id: "hst_a", name: "h1", region: "test", endpoint: "http://h1", state: "enrolled", epoch: 1 },
  capacity: { memoryMiB: 1, diskMiB: 1, tenants: 1 },
  ...{ lastReportAt: null, images: [] },
  inventory: {
    ...{ at: "2026-11-22T00:00:00.000Z", tenants: [] },
    versions: { docker: "29\u001b]52;c;ZWNobyBwd25lZA==\u0007", caddy: "2\u009b2J\r\nstate  enrolled" },
  },
};
let server: Server;
beforeAll(async () => {
  server = createServer((_request, response) => response.end(JSON.stringify({ hosts: [host], tenantOrigin: "" })));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterAll(() => void server.close());

it.each([
  ["for people", []],
  ["for machines", ["--json"]],
])("lets no host speak to the operator's terminal, %s", async (_what, options) => {
  vi.stubEnv("CHELAR_OPERATOR_TOKEN", "token");
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  const edge = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await hostCommand(["show", "h1", "--edge", edge, ...options]);
  const lines = log.mock.calls.flat().flatMap((text) => String(text).split("\n"));
  log.mockRestore();
  vi.unstubAllEnvs();
  expect(lines.join("")).toContain("2J");
  for (const line of lines) expect(line).not.toMatch(/\p{Cc}/u);
  expect(lines.filter((line) => /^state\b/.test(line)).length).toBeLessThanOrEqual(1);
});

it.each([
  ["destroys no stranger without --purge", ["stranger", "h1", "tnt_x"], /say so with --purge\. Nothing was done/],
  ["wants the agent beside the host", ["stranger", "h1", "--purge"], /usage:/],
  ["waits for a number of seconds only", ["rotate-keys", "--wait", "soon"], /--wait takes a number of seconds/],
  ["rotates for all hosts or for none", ["rotate-keys", "h1"], /usage:/],
])("%s", async (_what, args, words) => {
  await expect(hostCommand(args)).rejects.toThrow(words);
});
