import { describe, expect, test } from "vitest";
import { BuildFailed, buildError } from "./failure.ts";
import { diagnose, runTool } from "./tools.ts";

const npm = { tool: "npm", debianPackage: "npm", exit: "code 1" };

describe("a tool's failure becomes one reason", () => {
  test.each([
    ["npm error code EINTEGRITY", "package_altered"],
    ["E: Invalid Release signature", "package_altered"],
    ["npm error request to https://registry.npmjs.org/x failed, reason: getaddrinfo ENOTFOUND", "source_unreachable"],
    ["E: Failed getting release file http://deb.debian.org/debian/dists/bookworm/Release", "source_unreachable"],
    ["npm error code ENOSPC", "tool_failed"],
    ["something else", "tool_failed"],
  ])("%s → %s", (line, reason) => {
    expect(diagnose({ ...npm, tail: [line] })).toMatchObject({ reason });
  });

  test("a tool that is not there names the Debian package that brings it", async () => {
    const failed = await runTool({ tool: "chelar-no-such-tool", package: "some-package", args: [] }).catch((e) => e);
    expect(failed).toBeInstanceOf(BuildFailed);
    expect(failed.failure).toEqual({ reason: "tool_missing", tool: "chelar-no-such-tool", package: "some-package" });
    const told = buildError("echo", failed.failure);
    expect(told.public).toBe(
      "The echo image could not be made: chelar-no-such-tool is not installed on the server (Debian: some-package).",
    );
    expect(told.retryable).toBe(false);
  });

  test("what the owner reads holds nothing that the tool said", () => {
    const secret = "npm error //registry.example/:_authToken=abc123";
    expect(buildError("openclaw", diagnose({ ...npm, tail: [secret] })).public).not.toContain("abc123");
  });
});

test("a tool never sees what the host agent holds in its environment", async () => {
  process.env.CHELAR_TEST_SECRET = "hidden";
  try {
    expect(await runTool({ tool: "env", package: "coreutils", args: [] })).not.toContain("CHELAR_TEST_SECRET");
  } finally {
    delete process.env.CHELAR_TEST_SECRET;
  }
});
