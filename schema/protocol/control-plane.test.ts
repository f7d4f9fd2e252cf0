import { describe, expect, it } from "vitest";
import { controlPlane } from "./control-plane.ts";

const accepts = (networks: string[], https: string[] = []) => controlPlane.safeParse({ networks, https }).success;

describe("the control plane's addresses", () => {
  it.each([
    [["203.0.113.0/24"], []],
    [
      ["10.9.0.0/16", "fd00:9::/48", "203.0.113.7/32"],
      ["10.9.4.0/24", "203.0.113.7/32"],
    ],
  ])("%j with %j open are accepted", (networks, https) => expect(accepts(networks, https)).toBe(true));

  it.each([
    ["no network at all", [], []],
    ["an address without its prefix", ["203.0.113.7"], []],
    ["host bits that are not zero", ["203.0.113.7/24"], []],
    ["leading zeros", ["203.0.113.007/32"], []],
    ["half of the world", ["0.0.0.0/1"], []],
    ["half of the IPv6 world", ["::/0"], []],
    ["a word", ["localhost/8"], []],
    ["an opening outside of the networks", ["203.0.113.0/24"], ["169.254.169.254/32"]],
    ["an opening that begins inside and ends outside", ["203.0.113.0/25"], ["203.0.113.0/24"]],
    ["an opening wider than its network", ["203.0.113.0/24"], ["203.0.112.0/23"]],
  ])("%s is refused", (_what, networks, https) => expect(accepts(networks, https)).toBe(false));
});
