import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { hostCommand } from "./host-command.ts";
import { Refusal } from "./system.ts";

const dir = mkdtempSync(join(tmpdir(), "chelar-host-"));
let edge: Server;
let url: string;
let answer: RequestListener;
let asked: string[];

beforeAll(async () => {
  edge = createServer((request, response) => {
    asked.push(`${request.method} ${request.url} ${request.headers.authorization}`);
    answer(request, response);
  });
  await new Promise<void>((resolve) => edge.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(edge.address() as AddressInfo).port}`;
});
beforeEach(() => {
  vi.stubEnv("CHELAR_OPERATOR_TOKEN", "the-operator");
  vi.stubEnv("SSH_AUTH_SOCK", "");
  asked = [];
  answer = (_, response) => json(response, 200, { hosts: [host], tenantOrigin: "https://*.agents.example" });
});
afterAll(() => {
  edge.close();
  vi.unstubAllEnvs();
  rmSync(dir, { recursive: true });
});

const json = (response: Parameters<RequestListener>[1], status: number, body: unknown) =>
  void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
const host = {
  id: "hst_1",
  name: "one",
  region: "eu",
  endpoint: "https://one.example",
  state: "enrolled",
  epoch: 1,
  capacity: { memoryMiB: 4096, diskMiB: 40_960, tenants: 200 },
  lastReportAt: null,
  images: [],
  inventory: null,
};

/** Runs the command; resolves with what it printed, or with the sentence of its refusal. */
async function typed(...args: string[]): Promise<string> {
  const lines: string[] = [];
  const print = vi.spyOn(console, "log").mockImplementation((line) => void lines.push(String(line)));
  try {
    await hostCommand([...args, "--dir", dir, "--edge", url]);
    return lines.join("\n");
  } catch (error) {
    expect(error).toBeInstanceOf(Refusal);
    return `refused: ${(error as Error).message}`;
  } finally {
    print.mockRestore();
  }
}

describe("what is typed wrong is refused before anybody is asked", () => {
  it.each([
    [[], "usage:"],
    [["fly"], "usage:"],
    [["add"], "usage:"],
    [["list", "one"], "usage:"],
    [["drain", "one", "two"], "usage:"],
    [["list", "--colour"], "--colour"],
    [["add", "admin@203.0.113.7"], "root@ and an address"],
    [["add", "root@203.0.113.7", "--port", "0"], "between 1 and 65535"],
    [["add", "root@203.0.113.7", "--port", "x"], "between 1 and 65535"],
  ])("%j", async (args, words) => {
    expect(await typed(...args)).toContain(`refused: `);
    expect(await typed(...args)).toContain(words);
    expect(asked).toEqual([]);
  });

  it("an edge on this machine's loopback is no edge for a server elsewhere", async () => {
    expect(await typed("add", "root@203.0.113.7", "--key", "x")).toContain("say with --edge URL");
  });
});

describe("what an operator sees", () => {
  it("lists, shows and changes hosts by name or id, with the operator's token", async () => {
    expect(await typed("list")).toMatch(/one +enrolled +eu +0\/200 +4\.0 GiB +never +hst_1/);
    expect(JSON.parse(await typed("list", "--json")).hosts).toEqual([host]);
    expect(await typed("show", "hst_1")).toContain("https://one.example");
    asked = [];
    answer = (request, response) =>
      request.method === "GET"
        ? json(response, 200, { hosts: [host], tenantOrigin: "https://*.agents.example" })
        : json(response, 200, { id: "hst_1", state: "draining", tenants: 3 });
    expect(await typed("drain", "one")).toBe("one is draining, with 3 agents.");
    expect(asked).toEqual([
      "GET /api/v1/hosts Bearer the-operator",
      "POST /api/v1/operator/hosts/hst_1/drain Bearer the-operator",
    ]);
  });

  it("no host of that name: the names there are", async () => {
    expect(await typed("show", "two")).toBe('refused: no host is called "two". There is: one.');
  });

  it("a refusal of the edge in the edge's own words", async () => {
    answer = (request, response) =>
      request.method === "GET"
        ? json(response, 200, { hosts: [host], tenantOrigin: "x" })
        : json(response, 409, { title: "t", code: "host_not_empty", detail: "2 agents are there." });
    expect(await typed("remove", "one")).toBe("refused: the edge refuses (409 host_not_empty): 2 agents are there.");
  });

  it.each<[string, RequestListener, string]>([
    ["a wrong token", (_, response) => json(response, 401, {}), "does not accept this operator token"],
    ["a page instead of JSON", (_, response) => void response.end("<html>"), "no answer that an edge would give"],
    ["a redirect", (_, response) => void response.writeHead(302, { location: "/" }).end(), "does not answer"],
    ["a cut connection", (request) => request.socket.destroy(), "does not answer"],
  ])("%s is one sentence, and never holds the token", async (_name, how, words) => {
    answer = how;
    const said = await typed("list");
    expect(said).toContain(words);
    expect(said).not.toContain("the-operator");
  });

  it("without a token anywhere, where to put one", async () => {
    vi.stubEnv("CHELAR_OPERATOR_TOKEN", "");
    expect(await typed("list")).toContain("set CHELAR_OPERATOR_TOKEN");
    writeFileSync(`${dir}/edge-secrets.json`, JSON.stringify({ OPERATOR_TOKEN: "of-the-stack" }));
    await typed("list");
    expect(asked).toEqual(["GET /api/v1/hosts Bearer of-the-stack"]);
  });
});
