/** The part of ssh2 1.17 that we use; the package brings no types of its own. */
declare module "ssh2" {
  import type { EventEmitter } from "node:events";
  import type { Duplex, Readable } from "node:stream";

  export interface ConnectConfig {
    host: string;
    port: number;
    username: string;
    privateKey?: Buffer;
    agent?: string;
    readyTimeout?: number;
    keepaliveInterval?: number;
    keepaliveCountMax?: number;
    algorithms?: { serverHostKey?: string[]; compress?: string[] };
    hostVerifier?: (key: Buffer) => boolean;
  }
  export interface Channel extends Duplex {
    stderr: Readable;
  }
  export interface Sftp {
    fastPut(
      localPath: string,
      remotePath: string,
      options: { step?: (transferred: number, chunk: number, total: number) => void },
      done: (error?: Error) => void,
    ): void;
    writeFile(path: string, data: Buffer, options: { mode: number }, done: (error?: Error) => void): void;
    end(): void;
  }
  export class Client extends EventEmitter {
    connect(config: ConnectConfig): this;
    exec(command: string, done: (error: Error | undefined, channel: Channel) => void): boolean;
    sftp(done: (error: Error | undefined, sftp: Sftp) => void): boolean;
    end(): this;
    destroy(): this;
  }
  const ssh2: {
    Client: typeof Client;
    utils: { parseKey(data: Buffer | string): { type: string } | Error };
  };
  export default ssh2;
}
