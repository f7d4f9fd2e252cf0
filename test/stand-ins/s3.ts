import type { IncomingMessage } from "node:http";
import { createRequire } from "node:module";
import { Readable } from "node:stream";

/** What we use of it; the package brings no types. */
interface S3rver {
  store: {
    putObject(object: { content: Readable }): Promise<unknown>;
    putPart(bucket: string, upload: string, part: string, content: Readable): Promise<unknown>;
  };
  run(): Promise<{ address: string; port: number }>;
  close(): Promise<void>;
}
const S3Server = createRequire(import.meta.url)("s3rver") as new (options: object) => S3rver;

export interface S3StandIn {
  endpoint: string;
  bucket: string;
  /** Known to s3rver, which insists on signatures made with them. */
  credentials: { accessKeyId: string; secretAccessKey: string };
  /** Where its objects are files. */
  directory: string;
  close(): Promise<void>;
}

/** A real S3 server (signatures checked) with one bucket, on disk. */
export async function startS3({
  directory,
  address = "127.0.0.1",
  port = 0,
}: {
  directory: string;
  address?: string;
  port?: number;
}): Promise<S3StandIn> {
  const bucket = "chelar-copies";
  const server = new S3Server({
    ...{ address, port, directory, silent: true },
    configureBuckets: [{ name: bucket }],
  });
  // s3rver checks the signature of a body that comes in signed chunks, and then stores their frames with it.
  const { store } = server;
  const [putObject, putPart] = [store.putObject.bind(store), store.putPart.bind(store)];
  store.putObject = (object) => putObject(Object.assign(object, { content: unframed(object.content) }));
  store.putPart = (name, upload, part, content) => putPart(name, upload, part, unframed(content));
  const listening = await server.run();
  return {
    endpoint: `http://${address}:${listening.port}`,
    bucket,
    credentials: { accessKeyId: "S3RVER", secretAccessKey: "S3RVER" },
    directory: `${directory}/${bucket}`,
    close: () => server.close(),
  };
}

/** `SIZE;chunk-signature=…\r\n` DATA `\r\n`, to the chunk of size 0 (S3 API: "Transferring payload in multiple chunks"). */
function unframed(content: Readable): Readable {
  const { headers = {} } = content as Partial<IncomingMessage>;
  if (!String(headers["x-amz-content-sha256"]).startsWith("STREAMING-")) return content;
  return Readable.from(chunks(content), { objectMode: false });
}

async function* chunks(content: Readable): AsyncGenerator<Buffer> {
  let held = Buffer.alloc(0);
  let left: number | null = null;
  for await (const bytes of content as AsyncIterable<Buffer>) {
    held = Buffer.concat([held, bytes]);
    for (;;) {
      if (left === null) {
        const end = held.indexOf("\r\n");
        if (end === -1) break;
        left = Number.parseInt(held.subarray(0, end).toString("latin1"), 16);
        held = held.subarray(end + 2);
      }
      if (held.length < left + 2) break;
      if (left > 0) yield held.subarray(0, left);
      held = held.subarray(left + 2);
      left = null;
    }
  }
}
