import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createReadStream, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const LAYER = "application/vnd.oci.image.layer.v1.tar";

interface Blob {
  digest: string;
  size: number;
  /** A file, or the bytes. */
  content: string | Buffer;
}

/** What an image says of itself (OCI image specification, `config`). */
export interface ImageConfig {
  Entrypoint?: string[];
  Cmd?: string[];
  Env?: string[];
  WorkingDir?: string;
  Volumes?: Record<string, object>;
}

export interface Registry {
  /** Puts an image of these layers there; resolves with its reference by digest. */
  push(repository: string, layers: readonly Layer[], config: ImageConfig): string;
  close(): Promise<void>;
}
export type Layer = Blob;

/** A layer from an archive that lies on the disk. */
export function layerOf(archive: string): Layer {
  const digest = execFileSync("sha256sum", [archive], { encoding: "utf8" }).slice(0, 64);
  return { digest: `sha256:${digest}`, size: statSync(archive).size, content: archive };
}

/** A layer with one file in it. */
export function layerWith(directory: string, name: string, to: string): Layer {
  const work = mkdtempSync(join(tmpdir(), "chl-layer-"));
  try {
    const archive = join(work, "layer.tar");
    const place = ["--transform", `s,^,${to}/,`, "--owner=0", "--group=0", "--mtime=@0"];
    execFileSync("tar", ["--create", "--file", archive, ...place, "-C", directory, name]);
    return blob(readFileSync(archive));
  } finally {
    rmSync(work, { recursive: true });
  }
}

const blob = (content: Buffer): Blob => ({
  digest: `sha256:${createHash("sha256").update(content).digest("hex")}`,
  size: content.length,
  content,
});

/** A registry that hands out what it was given (OCI distribution specification: pull by digest, and nothing else). */
export async function startRegistry(address: string, port: number): Promise<Registry> {
  const blobs = new Map<string, Blob>();
  const server = createServer(({ url = "", method }, response) => {
    if (url === "/v2/") return response.writeHead(200).end();
    const [, kind, digest = ""] = /^\/v2\/[a-z]+\/(manifests|blobs)\/(sha256:[0-9a-f]{64})$/.exec(url) ?? [];
    const found = blobs.get(digest);
    if (!found) return response.writeHead(404).end();
    const type = kind === "manifests" ? MANIFEST : "application/octet-stream";
    response.writeHead(200, { "content-type": type, "content-length": found.size, "docker-content-digest": digest });
    if (method === "HEAD") return response.end();
    return typeof found.content === "string"
      ? createReadStream(found.content).pipe(response)
      : response.end(found.content);
  });
  server.listen(port, address);
  await once(server, "listening");

  return {
    push(repository, layers, config) {
      const rootfs = { type: "layers", diff_ids: layers.map(({ digest }) => digest) };
      const whole = blob(Buffer.from(JSON.stringify({ architecture: "amd64", os: "linux", config, rootfs })));
      const described = (mediaType: string) => (one: Blob) => ({ mediaType, size: one.size, digest: one.digest });
      const manifest = blob(
        Buffer.from(
          JSON.stringify({
            ...{ schemaVersion: 2, mediaType: MANIFEST },
            config: described("application/vnd.oci.image.config.v1+json")(whole),
            layers: layers.map(described(LAYER)),
          }),
        ),
      );
      for (const one of [...layers, whole, manifest]) blobs.set(one.digest, one);
      return `${address}:${port}/${repository}@${manifest.digest}`;
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
