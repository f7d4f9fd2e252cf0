import { readdir, readFile } from "node:fs/promises";

export interface DebianSources {
  mirror: string;
  /** Null when this machine takes no security updates of that suite: then neither does the image. */
  security: string | null;
}

/** What Debian's own installer writes where nobody chose a mirror. */
const DEFAULT_MIRROR = "http://deb.debian.org/debian";

/** The texts of this machine's apt sources; none on a machine without apt. */
export async function readAptSources(): Promise<string[]> {
  const drop = "/etc/apt/sources.list.d";
  const names = await readdir(drop).catch(() => []);
  const paths = ["/etc/apt/sources.list", ...names.sort().map((name) => `${drop}/${name}`)];
  const texts = paths
    .filter((path) => /\.(?:list|sources)$/.test(path))
    .map((path) => readFile(path, "utf8").catch(() => ""));
  return Promise.all(texts);
}

/**
 * Where this machine itself gets the suite from, so that an operator's mirror is used without being told twice. Reads
 * both forms of sources.list(5): one line per source, and paragraphs.
 */
export function debianSources(texts: readonly string[], suite: string): DebianSources {
  const entries = texts.flatMap((text) => [...oneLineEntries(text), ...paragraphs(text)]);
  const uriOf = (wanted: string) =>
    entries.find((entry) => entry.suites.includes(wanted) && entry.components.includes("main"))?.uri ?? null;
  return { mirror: uriOf(suite) ?? DEFAULT_MIRROR, security: uriOf(`${suite}-security`) };
}

interface Entry {
  uri: string;
  suites: string[];
  components: string[];
}

const isHttp = (uri: string) => /^https?:\/\/\S+$/.test(uri);

function oneLineEntries(text: string): Entry[] {
  return text.split("\n").flatMap((line) => {
    const [, uri = "", suite = "", rest = ""] = /^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+([^#]+)/.exec(line) ?? [];
    return isHttp(uri) ? [{ uri, suites: [suite], components: rest.trim().split(/\s+/) }] : [];
  });
}

function paragraphs(text: string): Entry[] {
  const withoutComments = text.replace(/^#.*\n?/gm, "");
  return withoutComments.split(/\n\s*\n/).flatMap((paragraph) => {
    const words = (field: string) =>
      (new RegExp(`^${field}:[ \\t]*(.*(?:\\n[ \\t]+.*)*)`, "im").exec(paragraph)?.[1] ?? "")
        .split(/\s+/)
        .filter(Boolean);
    if (!words("Types").includes("deb") || words("Enabled")[0] === "no") return [];
    return words("URIs")
      .filter(isHttp)
      .map((uri) => ({ uri, suites: words("Suites"), components: words("Components") }));
  });
}
