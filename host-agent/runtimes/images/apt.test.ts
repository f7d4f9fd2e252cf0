import { describe, expect, test } from "vitest";
import { debianSources } from "./apt.ts";

describe("where the Debian base comes from", () => {
  test("is the mirror that this machine's own paragraphs name", () => {
    const text = `Types: deb
# a comment between fields
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
`;
    expect(debianSources([text], "bookworm")).toEqual({
      mirror: "http://mirror.example/debian",
      security: "http://mirror.example/debian-security",
    });
  });

  test("is the mirror that this machine's own lines name", () => {
    const text = `# deb http://commented.example/debian bookworm main
deb-src http://source.example/debian bookworm main
deb [arch=amd64 signed-by=/x.gpg] https://lines.example/debian bookworm main non-free # note
`;
    expect(debianSources([text], "bookworm")).toEqual({ mirror: "https://lines.example/debian", security: null });
  });

  test("is Debian's own where the machine names none, and never a disabled, foreign or unusual one", () => {
    const texts = [
      "Types: deb\nEnabled: no\nURIs: http://off.example/debian\nSuites: bookworm\nComponents: main\n",
      "deb http://packages.example/apt stable main\n",
      "deb cdrom:[disc]/ bookworm main\n",
      "deb http://nonfree.example/debian bookworm non-free\n",
    ];
    expect(debianSources(texts, "bookworm")).toEqual({ mirror: "http://deb.debian.org/debian", security: null });
  });
});
