import type { Hono } from "hono";
import { FAVICON } from "./fort.tsx";
import { LEDGER_SCRIPT } from "./ledger-script.ts";
import { LIVE_SCRIPT } from "./live.ts";
import { PASSKEY_SCRIPT } from "./passkeys.ts";
import { REFERENCE_SCRIPT, REFERENCE_STYLE } from "./reference-script.ts";
import { STYLE } from "./style.ts";

interface Asset {
  /** Carries a digest of the body, so that it may be kept for ever and a new one is a new address. */
  path: string;
  type: string;
  body: string;
}

export const ASSETS = {
  style: asset("style", "css", "text/css; charset=utf-8", STYLE),
  live: asset("live", "js", "text/javascript; charset=utf-8", LIVE_SCRIPT),
  ledger: asset("ledger", "js", "text/javascript; charset=utf-8", LEDGER_SCRIPT),
  passkeys: asset("passkeys", "js", "text/javascript; charset=utf-8", PASSKEY_SCRIPT),
  reference: asset("reference", "js", "text/javascript; charset=utf-8", REFERENCE_SCRIPT),
  referenceStyle: asset("reference", "css", "text/css; charset=utf-8", REFERENCE_STYLE),
  icon: asset("mark", "svg", "image/svg+xml", FAVICON),
} as const satisfies Record<string, Asset>;

export function assetRoutes(app: Hono): void {
  for (const { path, type, body } of Object.values(ASSETS)) {
    app.get(path, (c) =>
      c.body(body, 200, { "content-type": type, "cache-control": "public, max-age=31536000, immutable" }),
    );
  }
}

function asset(name: string, extension: string, type: string, body: string): Asset {
  return { path: `/assets/${name}.${digest(body)}.${extension}`, type, body };
}

/** FNV-1a: names a version, protects nothing. WebCrypto would make every import of this file asynchronous. */
function digest(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(36);
}
