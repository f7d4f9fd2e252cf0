// Runs inside a tenant's container and never stops trying: TCP and UDP to everything that must stay closed, and to one
// public address that must stay open. Whether anything leaked is for the receivers to say; this only counts its tries.
import dgram from "node:dgram";
import http from "node:http";
import net from "node:net";

const { closed, open } = JSON.parse(process.env.TARGETS);
const counts = { sent: 0, entered: 0, reached: 0 };
const tryTcp = ([host, port]) =>
  new Promise((resolve) => {
    const socket = net.connect({ host, port, timeout: 150 });
    const end = (entered) => {
      socket.destroy();
      resolve(entered);
    };
    socket
      .on("connect", () => end(true))
      .on("timeout", () => end(false))
      .on("error", () => end(false));
  });
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

for (const target of closed) {
  void (async () => {
    for (;;) {
      counts.sent++;
      if (await tryTcp(target)) counts.entered++;
      await pause(10);
    }
  })();
}
const socket = dgram.createSocket("udp4");
socket.on("error", () => {});
socket.on("message", () => counts.entered++);
void (async () => {
  for (;;) {
    for (const [host, port] of closed) {
      counts.sent++;
      socket.send("probe", port, host, () => {});
    }
    await pause(20);
  }
})();
void (async () => {
  for (;;) {
    if (await tryTcp(open)) counts.reached++;
    await pause(100);
  }
})();
http.createServer((_request, response) => response.end(JSON.stringify(counts))).listen(8080);
