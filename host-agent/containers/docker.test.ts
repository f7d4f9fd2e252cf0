import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { afterEach, describe, expect, it, vi } from "vitest";
import { EngineAwayError, StepError } from "../tenants/ports.ts";
import { connectDocker, demultiplex } from "./docker.ts";
import { dockerContainers } from "./index.ts";
import { canNeverStart, factsOf, factsOfListed, isInGroupOf, networkMatches, reconnectDelayMs } from "./rules.ts";
import { olderVersion } from "./socket.ts";
import { networkSpec } from "./spec.ts";

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** An engine that answers as told, on a real unix socket; the real one is in test/system. */
async function engine(handler: Handler, apiVersion = "1.41") {
  const dir = await mkdtemp("/tmp/chl-docker-");
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    if (request.url === "/_ping") return void response.setHeader("api-version", apiVersion).end("OK");
    handler(request, response);
  }).listen(`${dir}/sock`);
  await once(server, "listening");
  const docker = connectDocker({ socketPath: `${dir}/sock` });
  cleanups.push(async () => {
    docker.close();
    server.closeAllConnections();
    server.close();
    await rm(dir, { recursive: true });
  });
  return { docker, asked, server, dir };
}
const says =
  (status: number, body: unknown): Handler =>
  (_, response) =>
    void response.writeHead(status).end(JSON.stringify(body));

describe("talking to Docker", () => {
  it.each([
    ["1.41", "1.41"],
    ["1.52", "1.44"],
  ])("speaks the newest version that both know: engine %s → %s, asked once", async (theirs, spoken) => {
    const { docker, asked } = await engine(says(200, {}), theirs);
    await docker.info();
    await docker.version();
    expect(asked).toEqual(["GET /_ping", `GET /v${spoken}/info`, `GET /v${spoken}/version`]);
  });

  it("finds a restarted daemon again although its pooled connections are dead", async () => {
    const { docker, server, dir } = await engine(says(200, { ok: 1 }));
    await docker.info();
    server.closeAllConnections();
    server.close();
    const again = createServer(says(200, { ok: 2 })).listen(`${dir}/sock`);
    cleanups.push(() => {
      again.closeAllConnections();
      again.close();
    });
    await once(again, "listening");
    expect(await docker.info()).toEqual({ ok: 2 });
  });

  it("asks again what the daemon speaks once it was away", async () => {
    const { docker, server, dir } = await engine(says(200, {}), "1.41");
    await docker.info();
    server.closeAllConnections();
    server.close();
    await expect(docker.info()).rejects.toThrow(EngineAwayError);
    const asked: string[] = [];
    const newer = createServer((request, response) => {
      asked.push(`${request.url}`);
      response.setHeader("api-version", "1.52").end("{}");
    }).listen(`${dir}/sock`);
    cleanups.push(() => {
      newer.closeAllConnections();
      newer.close();
    });
    await once(newer, "listening");
    await docker.info();
    expect(asked).toEqual(["/_ping", "/v1.44/info"]);
  });

  it("does not take half an answer for a whole one", async () => {
    const { docker } = await engine((_, response) => {
      response.writeHead(200, { "content-length": 1000 }).write('{"Id":');
      setTimeout(() => response.destroy(), 20);
    });
    await expect(docker.info()).rejects.toThrow(EngineAwayError);
  });

  it("names the status and Docker's words; a silent socket has no status", async () => {
    const { docker } = await engine(says(404, { message: "no such network" }));
    await expect(docker.inspectNetwork("chl0")).rejects.toMatchObject({
      status: 404,
      message: expect.stringContaining("no such network"),
    });
    const nobody = connectDocker({ socketPath: "/tmp/chl-nobody.sock" });
    await expect(nobody.ping()).rejects.toThrow(EngineAwayError);
  });

  it("fails an import that Docker fails after having said 200", async () => {
    const { docker } = await engine((request, response) => {
      request.resume();
      request.on("end", () => response.end('{"status":"reading"}\n{"error":"unexpected EOF"}\n'));
    });
    const importing = docker.importImage(Readable.from(["tar"]), { repo: "chelar/echo", tag: "1", changes: [] });
    await expect(importing).rejects.toThrow("unexpected EOF");
  });

  it("fails an import whose archive cannot be read, instead of importing half of it", async () => {
    const { docker } = await engine((request) => void request.resume());
    const broken = new Readable({
      read() {
        this.destroy(new Error("disk gone"));
      },
    });
    await expect(docker.importImage(broken, { repo: "a", tag: "1", changes: [] })).rejects.toThrow("disk gone");
  });
});

describe("watching the engine", () => {
  it("says that it is back when its stream opens again, and not when it opens first", async () => {
    const streams: ServerResponse[] = [];
    const { docker } = await engine((request, response) => {
      if (!request.url?.includes("/events")) return void response.end("[]");
      response.flushHeaders();
      streams.push(response);
    });
    const containers = dockerContainers({ docker, hostId: "hst_1", resolvers: [], imageRef: () => "x" });
    let backs = 0;
    const back = () => void backs++;
    cleanups.push(containers.watch({ died() {}, back }));
    await vi.waitFor(() => expect(streams).toHaveLength(1));
    expect(backs).toBe(0);
    streams[0]?.destroy();
    await vi.waitFor(() => expect(backs).toBe(1), { timeout: 20_000 });
    expect(streams).toHaveLength(2);
  });
});

describe("errors become steps' errors", () => {
  const containersOn = (docker: ReturnType<typeof connectDocker>) =>
    dockerContainers({ docker, hostId: "hst_1", resolvers: [], imageRef: () => "x" });

  it.each([
    [500, true],
    [409, true],
    [400, false],
  ])("%d: retryable %s, and the public sentence holds nothing of Docker's", async (status, retryable) => {
    const { docker } = await engine(says(status, { message: "/var/lib/docker/secret" }));
    const error = await containersOn(docker)
      .find("tnt_a")
      .catch((thrown) => thrown);
    expect(error).toBeInstanceOf(StepError);
    expect(error).toMatchObject({ retryable, public: "The container engine refused this step." });
    expect(error.message).toContain("/var/lib/docker/secret");
  });

  it("a daemon that is down is worth another try", async () => {
    const nobody = connectDocker({ socketPath: "/tmp/chl-nobody.sock" });
    await expect(containersOn(nobody).ping()).rejects.toMatchObject({
      retryable: true,
      public: "The container engine is not answering.",
    });
  });

  it("what is gone or already so is success", async () => {
    const gone = containersOn((await engine(says(404, {}))).docker);
    expect(await gone.find("tnt_a")).toBeNull();
    await gone.remove("tnt_a");
    await gone.stop("tnt_a", 1);
    // Not the name of any bridge: one that is there would be deleted.
    const layout = { network: "chl-nobody" } as Parameters<typeof gone.removeNetwork>[0];
    await gone.removeNetwork(layout);
  });
});

describe("rules", () => {
  it("takes the older of two API versions by number, not by text", () => {
    expect(olderVersion("1.9", "1.41")).toBe("1.9");
    expect(olderVersion("1.44", "1.44")).toBe("1.44");
  });

  it("reads Docker's attach format, both streams in order", () => {
    const piece = (stream: number, text: string) =>
      Buffer.concat([Buffer.from([stream, 0, 0, 0, 0, 0, 0, text.length]), Buffer.from(text)]);
    expect(demultiplex(Buffer.concat([piece(1, "out"), piece(2, "err")]))).toBe("outerr");
    expect(demultiplex(Buffer.from([1, 0, 0]))).toBe("");
  });

  it("reads of a container in a list what it would read of it alone, and nothing where the list does not say", () => {
    const Labels = { "dev.chelar.tenant": "tnt_a", "dev.chelar.plan": "hash", "dev.chelar.restarts": "3" };
    const listed = (State: string, Status: string) => factsOfListed({ Id: "1", State, Status, Labels, ImageID: "" });
    const alone = (Status: string, state: { Running: boolean; Paused: boolean; ExitCode: number }) =>
      factsOf({ Id: "1", Config: { Labels }, State: { ...state, Status, OOMKilled: false, StartedAt: "", Pid: 0 } });
    const ended = { Running: false, Paused: false, ExitCode: 137 };
    const runs = { Running: true, Paused: false, ExitCode: 0 };
    expect(listed("exited", "Exited (137) 2 hours ago")).toEqual(alone("exited", ended));
    expect(listed("running", "Up 2 hours")).toEqual(alone("running", runs));
    expect(listed("paused", "Up 2 hours (Paused)")).toEqual(alone("paused", { ...runs, Paused: true }));
    for (const state of ["created", "restarting", "removing", "dead"]) expect(listed(state, "Up")).toBeNull();
    expect(listed("exited", "Terminado")).toBeNull();
  });

  it("gives no exit code to a container that never ran", () => {
    const state = { Running: false, Paused: false, OOMKilled: false, ExitCode: 0, StartedAt: "", Pid: 0 };
    const facts = (Status: string) => factsOf({ Id: "1", Config: { Labels: null }, State: { ...state, Status } });
    expect(facts("created").exitCode).toBeNull();
    expect(facts("exited")).toMatchObject({ exitCode: 0, planHash: "", restarts: 0 });
  });

  it("knows a network of the right name but of another address for a wrong one", () => {
    const spec = networkSpec(
      { network: "chl0", subnet: "10.0.0.0/28", gateway: "10.0.0.1" } as Parameters<typeof networkSpec>[0],
      "hst",
    );
    const found = {
      Id: "1",
      Driver: "bridge",
      EnableIPv6: false,
      IPAM: spec.IPAM,
      Options: spec.Options,
      Containers: null,
    };
    expect(networkMatches(spec, found)).toBe(true);
    expect(networkMatches(spec, { ...found, EnableIPv6: true })).toBe(false);
    expect(networkMatches(spec, { ...found, Options: {} })).toBe(false);
    expect(
      networkMatches(spec, { ...found, IPAM: { Config: [{ Subnet: "10.0.0.16/28", Gateway: "10.0.0.17" }] } }),
    ).toBe(false);
  });

  it("knows a container's processes by their control group, whoever keeps the groups", () => {
    const id = "a1".repeat(32);
    expect(isInGroupOf(id, `12:pids:/docker/${id}\n1:name=systemd:/docker/${id}\n`)).toBe(true);
    expect(isInGroupOf(id, `0::/system.slice/docker-${id}.scope\n`)).toBe(true);
    expect(isInGroupOf(id, `0::/docker/${id}b2\n`)).toBe(false);
    expect(isInGroupOf(id, "0::/system.slice/containerd.service\n")).toBe(false);
    expect(isInGroupOf(id, "")).toBe(false);
  });

  it("waits longer after each failure, and never longer than 5 s", () => {
    expect([0, 1, 2, 9, 99].map(reconnectDelayMs)).toEqual([100, 200, 400, 5_000, 5_000]);
  });
});

it.each([
  [404, "network 5f1c not found"],
  [500, "could not find bridge chl0"],
  [500, "task be74c856: already exists"],
  [500, 'failed to create task: id already in use: "be74c856"'],
  [500, "failed to start shim: mkdir /run/containerd/io.containerd.runtime.v2.task/moby/be74: file exists: unknown"],
])("makes a container anew where the engine can never start it: %i %s", (status, message) => {
  expect(canNeverStart({ status, message })).toBe(true);
});

it.each([
  [404, "No such container: chelar-tnt_a"],
  [500, "failed to start shim: fork/exec: resource temporarily unavailable: unknown"],
  [500, "mkdir /var/lib/docker/overlay2: no space left on device"],
])("leaves a container alone whose next start may succeed: %i %s", (status, message) => {
  expect(canNeverStart({ status, message })).toBe(false);
});
