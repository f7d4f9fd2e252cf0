import { createHash, createHmac } from "node:crypto";

export interface Bucket {
  /** `https://s3.eu-central-1.amazonaws.com`; the bucket is named in the path, which every server understands. */
  endpoint: string;
  region: string;
  bucket: string;
  accessKeyId: string;
  secretAccessKey: string;
}

const TIMEOUT_MS = 30_000;
const EMPTY_SHA256 = createHash("sha256").update("").digest("hex");

/** What a deletion needs of S3: what is there, and away with it. Signed by Signature Version 4; no body is ever sent. */
export function connectBucket({ endpoint, region, bucket, ...credentials }: Bucket, call: typeof fetch = fetch) {
  async function ask(method: "GET" | "DELETE", key: string, query: Record<string, string> = {}): Promise<string> {
    const path = ["", bucket, ...(key === "" ? [] : key.split("/"))].map(encoded).join("/");
    const search = Object.entries(query)
      .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
      .sort()
      .join("&");
    const url = new URL(`${endpoint}${path}${search === "" ? "" : `?${search}`}`);
    const date = new Date().toISOString().replace(/[-:]|\.\d{3}/g, "");
    const headers = { host: url.host, "x-amz-content-sha256": EMPTY_SHA256, "x-amz-date": date };
    const authorization = signature({ method, path, search, headers, date, region, ...credentials });
    const { host: _, ...sent } = headers;
    const response = await call(url, {
      method,
      headers: { ...sent, authorization },
      redirect: "error",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`object storage answers ${response.status} to ${method}: ${text.slice(0, 200)}`);
    return text;
  }

  async function listed(query: Record<string, string>, pattern: RegExp): Promise<string[]> {
    const names: string[] = [];
    let token: string | undefined;
    do {
      const more: Record<string, string> = token ? { "continuation-token": token } : {};
      const page = await ask("GET", "", { "list-type": "2", ...query, ...more });
      if (!page.includes("<ListBucketResult")) throw new Error("object storage gave no list");
      names.push(...[...page.matchAll(pattern)].map(([, name = ""]) => decoded(name)));
      token = /<NextContinuationToken>([^<]*)</.exec(page)?.[1];
      token = token && decoded(token);
    } while (token);
    return names;
  }

  return {
    /** All names below a prefix. */
    list: (prefix: string) => listed({ prefix }, /<Key>([^<]*)<\/Key>/g),
    /** What lies directly below a prefix, each with its final slash. */
    folders: (prefix: string) => listed({ prefix, delimiter: "/" }, /<CommonPrefixes>\s*<Prefix>([^<]*)<\/Prefix>/g),
    remove: async (key: string): Promise<void> => void (await ask("DELETE", key)),
  };
}

/** Uri-encode as in "Authenticating Requests (AWS Signature Version 4)", Amazon S3 API reference. */
const encoded = (text: string) =>
  encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };
const decoded = (text: string) => text.replace(/&(amp|lt|gt|quot|apos);/g, (_, name: string) => ENTITIES[name] ?? "");

interface Unsigned {
  method: string;
  path: string;
  search: string;
  headers: Readonly<Record<string, string>>;
  /** `20261122T104501Z`. */
  date: string;
  region: string;
  accessKeyId: string;
  secretAccessKey: string;
}

export function signature(request: Unsigned): string {
  const { method, path, search, headers, date, region, accessKeyId, secretAccessKey } = request;
  const names = Object.keys(headers).sort();
  const listed = names.map((name) => `${name}:${headers[name]}\n`).join("");
  const canonical = [method, path, search, listed, names.join(";"), EMPTY_SHA256].join("\n");
  const scope = `${date.slice(0, 8)}/${region}/s3/aws4_request`;
  const text = ["AWS4-HMAC-SHA256", date, scope, createHash("sha256").update(canonical).digest("hex")].join("\n");
  const hmac = (key: Buffer | string, data: string) => createHmac("sha256", key).update(data).digest();
  const key = scope.split("/").reduce<Buffer | string>((secret, part) => hmac(secret, part), `AWS4${secretAccessKey}`);
  const signed = hmac(key, text).toString("hex");
  return `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${names.join(";")}, Signature=${signed}`;
}
