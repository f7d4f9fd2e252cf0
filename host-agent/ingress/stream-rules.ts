/** Caddy's own limit is below it. */
export const MAX_HEAD_BYTES = 96 * 1024;

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** What the edge is asked again about a connection that is open already. */
export interface Question {
  hostname: string;
  /** Whom it was opened for; another name is a no. */
  userId: string;
  headers: Readonly<Record<string, string>>;
}

/** Whether the answer may outlast the question: a WebSocket, or an event stream that a browser asks for. */
export function isStream(headers: Headers): boolean {
  if (headers.upgrade !== undefined) return true;
  const isGet = headers["x-forwarded-method"] === "GET";
  return (
    isGet &&
    String(headers.accept ?? "")
      .toLowerCase()
      .includes("text/event-stream")
  );
}

/** What the door looks at; hop-by-hop headers cannot be sent again, and it knows a WebSocket by its key. */
const ASKED = [
  ...["x-forwarded-method", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-uri"],
  ...["cookie", "authorization", "origin", "sec-websocket-key", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest"],
];

/** Made of the gate's own question, in which Caddy hands on everything that the visitor sent. */
export function questionOf(hostname: string, headers: Headers): Question {
  const kept = ASKED.flatMap((name) => (headers[name] === undefined ? [] : [[name, String(headers[name])]]));
  return {
    hostname,
    userId: String(headers["x-chelar-user"] ?? ""),
    // Caddy overwrites X-Forwarded-For with the address that it sees.
    headers: { ...Object.fromEntries(kept), "x-chelar-client": String(headers["x-forwarded-for"] ?? "") },
  };
}

/** Connections with the same credential at the same agent have the same answer, whatever their path. */
export const finalQuestion = ({ hostname, userId, headers }: Question): string =>
  JSON.stringify([hostname, userId, headers.cookie, headers.authorization, headers.origin]);

const linesOf = (head: string) => head.split("\r\n");

/** Names in lower case. Of a name that comes twice, the last: Caddy sets each of ours once. */
export function headOf(head: string): Record<string, string> {
  const pairs = linesOf(head)
    .slice(1)
    .map((line) => {
      const at = line.indexOf(":");
      return [line.slice(0, at).trim().toLowerCase(), line.slice(at + 1).trim()];
    });
  return Object.fromEntries(pairs);
}

/** The head as the container may see it: the pass is between Caddy and us. */
export const withoutPass = (head: string): string =>
  `${linesOf(head)
    .filter((line) => !/^x-chelar-stream\s*:/i.test(line))
    .join("\r\n")}\r\n\r\n`;
