// The echo runtime: says what reached it, and misbehaves when told to. Runs alone in its image, so: Node's own
// modules only. Whoever gets past the gate may call all of it; it is a test's tenant, not a product.
import { createHash } from "node:crypto";
import { createSocket } from "node:dgram";
import { closeSync, fsyncSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { createServer } from "node:http";
import { connect, isIP } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const port = Number(process.env.PORT ?? 8080);
const MAX_FRAME_BYTES = 1024 * 1024;

let busyUntilMs = 0;
let nextRunMs = null;

const seen = (request) => ({
  method: request.method,
  url: request.url,
  httpVersion: request.httpVersion,
  remoteAddress: request.socket.remoteAddress,
  headers: request.headers,
  // Names and values as they came, in order: doubles are not hidden by joining.
  rawHeaders: request.rawHeaders,
});

function answer(response, status, body, headers = {}) {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(text),
    ...headers,
  });
  response.end(text);
}

const read = (path) => {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    return `(${error.code})`;
  }
};

const routes = {
  "/healthz": (_, response) => answer(response, 200, { ok: true }),

  "/proc-self": (_, response) =>
    answer(response, 200, {
      status: Object.fromEntries(
        read("/proc/self/status")
          .split("\n")
          .filter((line) => line.includes(":"))
          .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]),
      ),
      mounts: read("/proc/self/mountinfo").trim().split("\n"),
      cgroup: read("/proc/self/cgroup").trim().split("\n"),
      limits: read("/proc/self/limits").trim().split("\n"),
      init: read("/proc/1/comm").trim(),
      pid: process.pid,
      hostname: read("/proc/sys/kernel/hostname").trim(),
      resolvConf: read("/etc/resolv.conf"),
      ipv6Disabled: read("/proc/sys/net/ipv6/conf/all/disable_ipv6").trim(),
      memoryLimitBytes: first("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max"),
      memoryAndSwapLimitBytes: first(
        "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes",
        "/sys/fs/cgroup/memory.swap.max",
      ),
      pidsLimit: first("/sys/fs/cgroup/pids/pids.max", "/sys/fs/cgroup/pids.max"),
      cpuLimit: first("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu.max"),
    }),

  // Names in the clear, values as hashes: a test can compare a secret that no log should hold.
  "/env": (_, response) =>
    answer(
      response,
      200,
      Object.fromEntries(
        Object.entries(process.env).map(([name, value]) => [name, createHash("sha256").update(value).digest("hex")]),
      ),
    ),

  "/fs": (_, response, query) => {
    const path = query.get("path") ?? "/probe";
    try {
      writeFileSync(path, query.get("content") ?? "echo was here\n", {
        mode: Number.parseInt(query.get("mode") ?? "600", 8),
      });
      answer(response, 200, { path, written: true });
    } catch (error) {
      answer(response, 200, { path, written: false, code: error.code });
    }
  },
  "/fs/read": (_, response, query) => answer(response, 200, { content: read(query.get("path") ?? "/data/probe") }),

  "/connect": async (_, response, query) => {
    const timeoutMs = Math.min(Number(query.get("timeoutMs") ?? 1000), 30_000);
    const target = { host: query.get("host") ?? "127.0.0.1", port: Number(query.get("port") ?? 80), timeoutMs };
    const attempt = query.get("proto") === "udp" ? sendUdp : connectTcp;
    answer(response, 200, { ...target, ...(await attempt(target, query.get("send") ?? "")) });
  },

  "/upload": async (request, response) => {
    const hash = createHash("sha256");
    let bytes = 0;
    for await (const chunk of request) {
      bytes += chunk.length;
      hash.update(chunk);
    }
    answer(response, 200, { bytes, sha256: hash.digest("hex") });
  },

  // One server-sent event every `everyMs`: shows whether a proxy streams.
  "/stream": async (request, response, query) => {
    const everyMs = Number(query.get("everyMs") ?? 50);
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (let id = 1; id <= Number(query.get("count") ?? 5) && !request.destroyed; id++) {
      response.write(`id: ${id}\ndata: ${Date.now()}\n\n`);
      await sleep(everyMs);
    }
    response.end();
  },

  // What a runtime tells its host before it is put to sleep.
  "/busy": (_, response) => answer(response, 200, { busy: Date.now() < busyUntilMs, nextRunMs }),
  "/work": (_, response, query) => {
    busyUntilMs = Date.now() + Number(query.get("seconds") ?? 10) * 1000;
    answer(response, 200, { busyUntilMs });
  },
  // A job of its own: runs at its time, or as soon as it can, and remembers when that was.
  "/cron": (_, response, query) => {
    const inMs = query.get("inMs");
    if (inMs !== null) schedule(Date.now() + Number(inMs));
    answer(response, 200, { nextRunMs, ranAtMs: Number(read("/data/cron-ran")) || null });
  },

  // Takes a channel's message as a runtime does: answered when it is on the disk, and what came is remembered in order,
  // doubles included, so that a test can count.
  "/telegram-webhook": async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const update = JSON.parse(Buffer.concat(chunks).toString("utf8"));
    const secret = request.headers["x-telegram-bot-api-secret-token"];
    if (secret !== process.env.TELEGRAM_WEBHOOK_SECRET) return answer(response, 401, { ok: false });
    note(update);
    answer(response, 200, { ok: true }, { "x-openclaw-delivery-accepted": "durable" });
  },
  // Is asked as a runtime is that has no place for a channel: thinks as long as it is told to, and says it again.
  "/ask": async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const question = JSON.parse(Buffer.concat(chunks).toString("utf8"));
    note(question);
    await sleep(Number(/^think for (\d{1,5}) ms/.exec(question.text)?.[1] ?? 0));
    answer(response, 200, { answer: `You said: ${question.text}` });
  },
  "/inbox": (_, response) => {
    const lines = read("/data/inbox.jsonl").split("\n");
    answer(response, 200, { updates: lines.flatMap((line) => (line.startsWith("{") ? [JSON.parse(line)] : [])) });
  },

  "/misbehave/exit": (_, response, query) => {
    answer(response, 200, { leaving: true });
    response.on("finish", () => process.exit(Number(query.get("code") ?? 1)));
  },
  "/misbehave/leak": async (_, response, query) => {
    const hoard = [];
    const mib = Number(query.get("mib") ?? 1_000_000);
    answer(response, 200, { leaking: mib });
    for (let taken = 0; taken < mib; taken += 4) {
      hoard.push(Buffer.alloc(4 * 1024 * 1024, 1));
      await sleep(1);
    }
  },
  "/misbehave/spin": (_, response, query) => {
    const seconds = Number(query.get("seconds") ?? 10);
    answer(response, 200, { spinning: seconds });
    setImmediate(() => {
      for (const end = Date.now() + seconds * 1000; Date.now() < end; );
    });
  },
  "/misbehave/set-cookie": (_, response, query) =>
    answer(response, 200, { set: true }, { "set-cookie": query.getAll("cookie") }),
  "/misbehave/headers": (_, response, query) =>
    answer(response, 200, { set: true }, Object.fromEntries(query.entries())),
  "/misbehave/big-body": (_, response, query) => {
    let left = Number(query.get("mib") ?? 16);
    response.writeHead(200, { "content-type": "application/octet-stream", "content-length": left * 1024 * 1024 });
    const piece = Buffer.alloc(1024 * 1024, "e");
    const pour = () => {
      while (left-- > 0) if (!response.write(piece)) return response.once("drain", pour);
      response.end();
    };
    pour();
  },
  "/misbehave/hang": () => {},
};

function note(message) {
  const file = openSync("/data/inbox.jsonl", "a", 0o600);
  writeSync(file, `${JSON.stringify(message)}\n`);
  fsyncSync(file);
  closeSync(file);
}

function schedule(atMs) {
  nextRunMs = atMs;
  writeFileSync("/data/cron-next", String(atMs));
  setTimeout(
    () => {
      writeFileSync("/data/cron-ran", String(Date.now()));
      writeFileSync("/data/cron-next", "");
      nextRunMs = null;
    },
    Math.max(0, atMs - Date.now()),
  );
}

function first(...paths) {
  return paths.map((path) => read(path).trim()).find((text) => !text.startsWith("("));
}

function connectTcp({ host, port, timeoutMs }, payload) {
  return new Promise((resolve) => {
    const started = Date.now();
    const socket = connect({ host, port, timeout: timeoutMs });
    const finish = (result) => {
      socket.destroy();
      resolve({ ...result, tookMs: Date.now() - started });
    };
    socket.on("connect", () => (payload ? socket.write(payload) : finish({ connected: true })));
    socket.on("data", (data) => finish({ connected: true, received: data.toString("latin1").slice(0, 2000) }));
    socket.on("end", () => finish({ connected: true, received: "" }));
    socket.on("timeout", () => finish({ connected: payload !== "" && socket.readyState === "open", code: "TIMEOUT" }));
    socket.on("error", (error) => finish({ connected: false, code: error.code }));
  });
}

function sendUdp({ host, port, timeoutMs }, payload) {
  return new Promise((resolve) => {
    const socket = createSocket(isIP(host) === 6 ? "udp6" : "udp4");
    const finish = (result) => {
      clearTimeout(timer);
      socket.close();
      resolve(result);
    };
    const timer = setTimeout(() => finish({ connected: false, code: "TIMEOUT" }), timeoutMs);
    socket.on("message", (data) => finish({ connected: true, received: data.toString("latin1").slice(0, 2000) }));
    socket.on("error", (error) => finish({ connected: false, code: error.code }));
    socket.send(payload || "echo", port, host, (error) => error && finish({ connected: false, code: error.code }));
  });
}

const server = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://echo");
  const route = Object.hasOwn(routes, pathname) ? routes[pathname] : null;
  try {
    if (route) await route(request, response, searchParams);
    else answer(response, 200, seen(request));
  } catch (error) {
    if (!response.headersSent) answer(response, 500, { error: String(error) });
    else response.destroy();
  }
});

// RFC 6455, the part a test needs: whole frames, no fragments, no extensions.
server.on("upgrade", (request, socket, head) => {
  const key = request.headers["sec-websocket-key"];
  if (request.headers.upgrade?.toLowerCase() !== "websocket" || !key) return socket.destroy();
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  socket.write(frame(1, Buffer.from(JSON.stringify(seen(request)))));
  let buffer = head;
  const take = (chunk) => {
    buffer = Buffer.concat([buffer, chunk]);
    for (let parsed = parseFrame(buffer); parsed; parsed = parseFrame(buffer)) {
      buffer = buffer.subarray(parsed.bytes);
      if (parsed.opcode === 8) return socket.end(frame(8, parsed.payload.subarray(0, 2)));
      if (parsed.opcode === 9) socket.write(frame(10, parsed.payload));
      else if (parsed.opcode === 1 || parsed.opcode === 2) socket.write(frame(parsed.opcode, parsed.payload));
    }
    if (buffer.length > MAX_FRAME_BYTES + 14) socket.destroy();
  };
  socket.on("data", take);
  socket.on("error", () => socket.destroy());
  take(Buffer.alloc(0));
});

function parseFrame(buffer) {
  if (buffer.length < 6) return null;
  const short = buffer[1] & 0x7f;
  const lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0;
  const start = 2 + lengthBytes + 4;
  if (buffer.length < start) return null;
  const length =
    lengthBytes === 2 ? buffer.readUInt16BE(2) : lengthBytes === 8 ? Number(buffer.readBigUInt64BE(2)) : short;
  if (buffer.length < start + length) return null;
  const mask = buffer.subarray(start - 4, start);
  const payload = Buffer.from(buffer.subarray(start, start + length));
  for (let at = 0; at < payload.length; at++) payload[at] ^= mask[at & 3];
  return { opcode: buffer[0] & 0x0f, payload, bytes: start + length };
}

function frame(opcode, payload) {
  const { length } = payload;
  const header = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10);
  header[0] = 0x80 | opcode;
  header[1] = length < 126 ? length : length < 65_536 ? 126 : 127;
  if (header.length === 4) header.writeUInt16BE(length, 2);
  if (header.length === 10) header.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([header, payload]);
}

for (const signal of ["SIGTERM", "SIGINT"]) {
  process.on(signal, () => (process.env.ECHO_IGNORE_SIGTERM ? undefined : process.exit(0)));
}
if (read("/data/exit-at-start").trim() === "yes") process.exit(3);
if (process.env.ECHO_EXIT_AT_START) process.exit(Number(process.env.ECHO_EXIT_AT_START));
// A key is all that an owner can give it, so a key can say how its start goes wrong.
const keys = Object.values(process.env).join(" ");
if (keys.includes("-exit-at-start-")) process.exit(3);
if (keys.includes("-hang-at-start-")) await sleep(3_600_000);
const planned = Number(read("/data/cron-next"));
if (planned > 0) schedule(planned);
await sleep(Number(process.env.ECHO_SLOW_START_MS ?? 0));
// A thousand visitors who were held come in at one moment: with Node's 511 half of them would have to knock again.
server.listen({ port, host: "0.0.0.0", backlog: 4_096 });
