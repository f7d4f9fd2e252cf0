import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";

const run = promisify(execFile);

/** What the kernel says about a container's first process and what Docker was told. */
export interface InsideView {
  status: Record<string, string>;
  mounts: { target: string; options: string[] }[];
  limits: { memory: number; memorySwap: number; pids: number; ports: number; restart: string; privileged: boolean };
  pid: number;
  address: string;
  gateway: string;
  /** Docker's name of its network, and the kernel's of its bridge. */
  network: string;
}

/** Looks into a container from within (docker exec), never at a listing of what was asked for alone. */
export class Inside {
  readonly name: string;
  readonly #socket: string;
  constructor(dockerSocket: string, tenantId: string) {
    this.#socket = dockerSocket;
    this.name = `chelar-${tenantId}`;
  }

  async docker(...args: string[]): Promise<string> {
    const { stdout } = await run("docker", ["-H", `unix://${this.#socket}`, ...args], { maxBuffer: 16 * 2 ** 20 });
    return stdout;
  }

  /** Runs a Node script inside, as the tenant's own UID. */
  async node(script: string, ...args: string[]): Promise<string> {
    return this.docker("exec", this.name, "/usr/local/bin/node", "-e", script, "--", ...args);
  }

  async view(): Promise<InsideView> {
    const [inspect] = JSON.parse(await this.docker("inspect", this.name)) as [
      {
        State: { Pid: number };
        HostConfig: {
          Memory: number;
          MemorySwap: number;
          PidsLimit: number;
          Privileged: boolean;
          PortBindings: object | null;
          RestartPolicy: { Name: string };
        };
        NetworkSettings: { Networks: Record<string, { IPAddress: string; Gateway: string }> };
      },
    ];
    const read = (file: string) =>
      this.node(`process.stdout.write(require("node:fs").readFileSync(process.argv[1], "utf8"))`, file);
    const [status, mounts] = [await read("/proc/1/status"), await read("/proc/1/mounts")];
    const { HostConfig: host } = inspect;
    const [name = "", network] = Object.entries(inspect.NetworkSettings.Networks)[0] ?? [];
    return {
      status: Object.fromEntries(
        status
          .split("\n")
          .filter(Boolean)
          .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]),
      ),
      mounts: mounts
        .split("\n")
        .filter(Boolean)
        .map((line) => {
          const [, target = "", , options = ""] = line.split(" ");
          return { target, options: options.split(",") };
        }),
      limits: {
        memory: host.Memory,
        memorySwap: host.MemorySwap,
        pids: host.PidsLimit,
        ports: Object.keys(host.PortBindings ?? {}).length,
        restart: host.RestartPolicy.Name,
        privileged: host.Privileged,
      },
      pid: inspect.State.Pid,
      address: network?.IPAddress ?? "",
      gateway: network?.Gateway ?? "",
      network: name,
    };
  }

  /** Tries a TCP connection from inside; tells how it ended: `connected`, `timeout` or the error's code. */
  async tcp(host: string, port: number, timeoutMs = 1_500): Promise<string> {
    const out = await this.node(
      `const [host, port, ms] = process.argv.slice(1);
       const socket = require("node:net").connect({ host, port: Number(port) });
       const end = (word) => { process.stdout.write(word); process.exit(0); };
       socket.once("connect", () => end("connected"));
       socket.once("error", (error) => end(error.code));
       setTimeout(() => end("timeout"), Number(ms));`,
      host,
      String(port),
      String(timeoutMs),
    );
    return out.trim();
  }

  /** Sends datagrams from inside; whether they arrived is the receiver's word. */
  async udp(host: string, port: number, text: string): Promise<void> {
    await this.node(
      `const [host, port, text] = process.argv.slice(1);
       const socket = require("node:dgram").createSocket(host.includes(":") ? "udp6" : "udp4");
       socket.on("error", () => process.exit(0));
       let left = 3;
       const again = () => socket.send(text, Number(port), host, () => (--left ? setTimeout(again, 50) : process.exit(0)));
       again();`,
      host,
      String(port),
      text,
    );
  }
}

/** Whether a line of the kernel's mount table (not the container's) names this path. */
export function mounted(path: string): boolean {
  return readFileSync("/proc/self/mountinfo", "utf8").includes(` ${path} `);
}
