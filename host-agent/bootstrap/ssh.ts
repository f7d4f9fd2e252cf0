import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { pipeline } from "node:stream/promises";
import ssh2, { type Client, type Sftp } from "ssh2";
import { CommandFailed, type Run } from "../firewall/index.ts";
import { BootstrapFailed } from "./failure.ts";
import { fingerprintOf } from "./known-hosts.ts";

export interface Target {
  address: string;
  port: number;
}
export const nameOf = ({ address, port }: Target): string => `${address}:${port}`;

export type Credentials =
  | { kind: "key"; name: string; privateKey: Buffer }
  | { kind: "agent"; name: string; socket: string };

/** What the host key must be, and who said so. Null: nobody knows, and the connection ends before anything is said. */
export interface Expected {
  fingerprint: string;
  from: string;
}

export interface Answer {
  code: number;
  stdout: string;
  stderr: string;
}

/** A server over one SSH connection, as root. */
export interface Server {
  name: string;
  /** Resolves with any exit code; rejects only when the connection is gone. `onLine` hears its output as it comes. */
  exec(argv: readonly string[], input?: string, onLine?: (line: string) => void): Promise<Answer>;
  /** The same as every room of the host agent starts programs: rejects with {@link CommandFailed}. */
  run: Run;
  /** Puts a file there whole or not at all; its checksum is taken on the server before it gets its name. */
  put(source: Source, path: string, mode: number, onFraction?: (fraction: number) => void): Promise<void>;
  /** Starts a program that lives as long as this connection; resolves with its first line, null when it ended at once. */
  hold(argv: readonly string[]): Promise<string | null>;
  close(): void;
}
export type Source = { text: string } | { file: string; sha256: string };

/** The strongest first; fixed, so that a server with several keys always shows the same one. */
const HOST_KEYS = ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256"];
const HANDSHAKE_MS = 20_000;
const KEEPALIVE_MS = 10_000;
const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * SSH hands the server's shell one string; there is no way around it. Every word is quoted whole, so that the shell has
 * nothing to interpret, whatever is in it.
 */
export const quoted = (argv: readonly string[]): string =>
  ["env", "LC_ALL=C", PATH, ...argv].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");

export async function connect(target: Target, credentials: Credentials, expected: Expected | null): Promise<Server> {
  const name = nameOf(target);
  const client = new ssh2.Client();
  const { promise: lost, reject: lose } = Promise.withResolvers<never>();
  lost.catch(() => {});
  client.on("close", () => lose(new BootstrapFailed({ reason: "connection_lost", server: name })));
  await handshake(client, target, credentials, expected);
  // A later fault of the transport is told by "close"; without a listener it would end the process.
  client.on("error", () => {});
  const during = <T>(work: Promise<T>): Promise<T> => Promise.race([work, lost]);
  const exec: Server["exec"] = (argv, input, onLine) => during(execute(client, argv, input, onLine));
  const run: Run = async (file, args, input) => {
    const { code, stdout, stderr } = await exec([file, ...args], input);
    if (code === 0) return stdout;
    throw new CommandFailed(file, args, Object.assign(new Error(`exit code ${code}`), { code }), stderr);
  };
  let sftp: Promise<Sftp> | null = null;
  const openSftp = () =>
    new Promise<Sftp>((resolve, reject) => {
      client.sftp((error, opened) => (error ? reject(error) : resolve(opened)));
    });
  return {
    name,
    exec,
    run,
    async put(source, path, mode, onFraction = () => {}) {
      sftp ??= openSftp();
      const files = await during(sftp);
      const next = `${path}.new`;
      await during(
        new Promise<void>((resolve, reject) => {
          const done = (error?: Error) => (error ? reject(new Error(`${next}: ${error.message}`)) : resolve());
          if ("text" in source) files.writeFile(next, Buffer.from(source.text), { mode: 0o600 }, done);
          else files.fastPut(source.file, next, { step: (sent, _, total) => onFraction(sent / total) }, done);
        }),
      );
      const sha256 = "text" in source ? digest(source.text) : source.sha256;
      const there = (await run("sha256sum", ["--", next])).slice(0, 64);
      if (there !== sha256) throw new Error(`${path} arrived with another checksum (${there}, should be ${sha256})`);
      await run("chown", ["root:root", "--", next]);
      await run("chmod", [mode.toString(8), "--", next]);
      await run("sync", ["--", next]);
      await run("mv", ["-T", "--", next, path]);
    },
    hold: (argv) =>
      during(
        new Promise<string | null>((resolve, reject) => {
          client.exec(quoted(argv), (error, channel) => {
            if (error) return reject(error);
            channel.once("data", (data: Buffer) => resolve(data.toString("utf8").split("\n")[0] ?? ""));
            channel.once("close", () => resolve(null));
            channel.stderr.resume();
          });
        }),
      ),
    close: () => void client.end(),
  };
}

export const digest = (text: string): string => createHash("sha256").update(text).digest("hex");

export async function digestFile(file: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash);
  return hash.digest("hex");
}

function handshake(client: Client, target: Target, credentials: Credentials, expected: Expected | null): Promise<void> {
  const server = nameOf(target);
  return new Promise((resolve, reject) => {
    let shown = "";
    client.once("ready", resolve);
    client.once("error", (error: Error & { level?: string }) => {
      if (shown !== "" && shown !== expected?.fingerprint) {
        return reject(
          new BootstrapFailed(
            expected
              ? {
                  reason: "host_key_changed",
                  server,
                  shown,
                  expected: expected.fingerprint,
                  from: expected.from,
                }
              : { reason: "host_key_unknown", server, shown },
          ),
        );
      }
      if (error.level === "client-authentication") {
        return reject(new BootstrapFailed({ reason: "authentication_refused", server, with: credentials.name }));
      }
      reject(new BootstrapFailed({ reason: "unreachable", server, detail: error.message }, error));
    });
    try {
      client.connect({
        host: target.address,
        port: target.port,
        username: "root",
        ...(credentials.kind === "key" ? { privateKey: credentials.privateKey } : { agent: credentials.socket }),
        algorithms: { serverHostKey: HOST_KEYS },
        readyTimeout: HANDSHAKE_MS,
        keepaliveInterval: KEEPALIVE_MS,
        keepaliveCountMax: 3,
        hostVerifier: (key) => {
          shown = fingerprintOf(key);
          return shown === expected?.fingerprint;
        },
      });
    } catch (error) {
      // An unreadable or encrypted key is noticed before anything is sent.
      const detail = `${credentials.name} cannot be used: ${(error as Error).message}.`;
      reject(new BootstrapFailed({ reason: "credentials", detail }));
    }
  });
}

function execute(
  client: Client,
  argv: readonly string[],
  input = "",
  onLine?: (line: string) => void,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    client.exec(quoted(argv), (error, channel) => {
      if (error) return reject(error);
      const [out, err]: [Buffer[], Buffer[]] = [[], []];
      let code = -1;
      channel.on("data", (data: Buffer) => out.push(data));
      if (onLine) createInterface({ input: channel }).on("line", onLine);
      channel.stderr.on("data", (data: Buffer) => err.push(data));
      channel.on("exit", (status: number | null) => {
        code = status ?? -1;
      });
      channel.on("close", () =>
        resolve({ code, stdout: Buffer.concat(out).toString("utf8"), stderr: Buffer.concat(err).toString("utf8") }),
      );
      channel.end(input);
    });
  });
}
