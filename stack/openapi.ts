import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { build } from "esbuild";
import { bringSecrets } from "./secrets.ts";
import { ROOT } from "./worker.ts";

export const DOCUMENT_FILE = `${ROOT}/docs/openapi.json`;

/** Writes docs/openapi.json from the edge's own routes. Nothing is served and nothing is asked for that. */
export async function writeDocument(file = DOCUMENT_FILE): Promise<number> {
  const dir = mkdtempSync(`${tmpdir()}/chelar-openapi-`);
  try {
    // The pages are JSX, which Node does not run.
    await build({
      stdin: {
        contents: `export { createEdge } from "./worker/edge.ts"; export { parseEnv } from "./worker/env.ts";`,
        resolveDir: ROOT,
      },
      outfile: `${dir}/edge.mjs`,
      bundle: true,
      platform: "node",
      format: "esm",
      jsx: "automatic",
      jsxImportSource: "hono/jsx",
      banner: { js: `import { createRequire } from "node:module"; const require = createRequire("${ROOT}/");` },
      logLevel: "error",
    });
    const { createEdge, parseEnv } = (await import(`${dir}/edge.mjs`)) as {
      createEdge(config: unknown): { describe(): object };
      parseEnv(bindings: object): unknown;
    };
    const config = parseEnv({
      DASHBOARD_ORIGIN: "https://chelar.example",
      TENANT_ORIGIN: "https://*.agents.example",
      DATABASE_URL: "http://127.0.0.1:1",
      MAIL: JSON.stringify({ driver: "resend", key: "never-used", from: "Chelar <none@chelar.example>" }),
      ...(await bringSecrets(dir)),
    });
    writeFileSync(file, `${JSON.stringify(createEdge(config).describe(), null, 2)}\n`);
    execFileSync(`${ROOT}/node_modules/.bin/biome`, ["format", "--write", file], { stdio: "ignore" });
    return 0;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
