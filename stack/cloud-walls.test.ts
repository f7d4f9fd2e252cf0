import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { type HetznerStandIn, startHetznerStandIn } from "../test/stand-ins/hetzner.ts";
import { hostCommand } from "./host-command.ts";

let cloud: HetznerStandIn;
let printed: string[];
beforeEach(async () => {
  cloud = await startHetznerStandIn("secret", [7]);
  vi.stubEnv("HCLOUD_TOKEN", "secret");
  vi.stubEnv("HCLOUD_ENDPOINT", cloud.endpoint);
  printed = [];
  vi.spyOn(console, "log").mockImplementation((text) => void printed.push(String(text)));
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  await cloud.close();
});
const walls = async (...more: string[]): Promise<[code: number, text: string]> => {
  printed.length = 0;
  const code = await hostCommand(["walls", "--admin-network", "203.0.113.0/24", ...more]);
  return [code, printed.join("\n")];
};
const server = ["--cloud", "hetzner", "--cloud-server", "7"];

it.each(["hetzner", "aws", "gcp", "digitalocean"])(
  "prints the first wall for %s, without a token",
  async (provider) => {
    vi.stubEnv("HCLOUD_TOKEN", "");
    const [code, text] = await walls("--cloud", provider);
    expect(code).toBe(0);
    expect(JSON.stringify(JSON.parse(text))).toContain("203.0.113.0/24");
  },
);

it("tells what differs at the provider, changes nothing unasked, and repairs when asked", async () => {
  expect((await walls(...server))[0]).toBe(1);
  expect(cloud.writes).toEqual([]);
  expect(await walls(...server, "--repair")).toEqual([0, expect.stringContaining("Repaired.")]);
  expect(await walls(...server)).toEqual([0, "The provider's firewall is as it should be."]);
  [...cloud.firewalls.values()][0]?.rules.push({
    ...{ direction: "in", protocol: "tcp", port: "2375", source_ips: ["0.0.0.0/0"] },
  });
  expect(await walls(...server)).toEqual([1, expect.stringContaining("not ours: in tcp 2375")]);
});

it.each([
  [["--cloud", "azure"], "one of: hetzner, aws, gcp, digitalocean"],
  [["--cloud", "aws", "--cloud-server", "7"], "--cloud takes hetzner here"],
  [["--cloud", "hetzner", "--cloud-server", "seven"], '"seven"'],
  [["--cloud", "hetzner", "--cloud-server", "99"], "not_found"],
  [[...server, "--admin-network", "everywhere"], '"everywhere" is not accepted'],
])("%j is refused in one sentence", async (args, sentence) => {
  await expect(walls(...args)).rejects.toThrow(sentence);
  expect(cloud.writes).toEqual([]);
});

it("a token that is missing is asked for, and one that is wrong is never shown", async () => {
  vi.stubEnv("HCLOUD_TOKEN", "");
  await expect(walls(...server)).rejects.toThrow("HCLOUD_TOKEN");
  vi.stubEnv("HCLOUD_TOKEN", "guess");
  const error = await walls(...server).catch((thrown: Error) => thrown);
  expect(String(error)).toContain("unauthorized");
  expect(String(error)).not.toContain("guess");
});
