import { expect, test } from "vitest";
import { createFirewall } from "./index.ts";
import type { Run } from "./run.ts";

/** A kernel that holds nothing, on a host whose programs are new enough; keeps what is written to it. */
function emptyKernel() {
  const written: string[] = [];
  const run: Run = async (file, args, input) => {
    if (input) written.push(input);
    if (args[0] === "--version") return file === "iptables" ? "iptables v1.8.9" : "Docker version 29.5.1";
    if (file === "sh") return "\0\0\0";
    return args.includes("-json") ? "[]" : "";
  };
  return { run, written };
}
const inputs = { pool: "10.213.0.0/16", resolvers: ["9.9.9.9"] };

test("the control plane is closed, its public HTTPS open before that, in one transaction of each table", async () => {
  const { run, written } = emptyKernel();
  const firewall = createFirewall({ inputs, run });
  firewall.aim({ networks: ["203.0.113.0/24", "2001:db8:9::/48"], https: ["203.0.113.7/32"] });
  await firewall.repair();
  const rules = written
    .join("")
    .split("\n")
    .filter((line) => line.startsWith("-A CHELAR-FORWARD"));
  const at = (id: string) => rules.findIndex((line) => line.includes(`chelar:${id}`));
  expect(rules[at("control-plane")]).toContain("-d 203.0.113.0/24");
  expect(rules[at("exception")]).toMatch(/-d 203\.0\.113\.7\/32 -p tcp -m multiport --dports 443/);
  expect(at("exception")).toBeLessThan(at("control-plane"));
  expect(rules.join("\n")).not.toContain("2001:db8");
  expect(written).toHaveLength(2);
});

test.each(["10.213.0.0/24", "169.254.169.254/32", "168.63.129.16/32"])(
  "an opening at %s would open a wall: it is refused, and the plan stays as it was",
  async (opening) => {
    const { run } = emptyKernel();
    const firewall = createFirewall({ inputs, run });
    const before = await firewall.verify();
    expect(() => firewall.aim({ networks: [opening], https: [opening] })).toThrow("would open");
    expect(await firewall.verify()).toEqual(before);
  },
);
