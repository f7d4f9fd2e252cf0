import type { StandIn } from "./http.ts";
import { serveHttp } from "./http.ts";

export const METADATA_ADDRESS = "169.254.169.254";
/** What an attacker would carry home; a test searches all that a tenant got for it. */
export const STOLEN = "ASIA-STAND-IN-CREDENTIAL";

/**
 * A cloud's metadata service, as open as the oldest of them: EC2's version 1 without a token, version 2 with one, and
 * Google's by its header. Nobody's defence may rest on its politeness. The address must answer here first
 * (`internet.addAddress`).
 */
export function startMetadataService(address = METADATA_ADDRESS, port = 80): Promise<StandIn> {
  return serveHttp(address, port, ({ method, path, headers }, response) => {
    if (method === "PUT" && path === "/latest/api/token") return void response.end("stand-in-token");
    if (path.startsWith("/computeMetadata/") && headers["metadata-flavor"] !== "Google") {
      return void response.writeHead(403).end();
    }
    response.end(`${JSON.stringify({ AccessKeyId: STOLEN, path })}\n`);
  });
}
