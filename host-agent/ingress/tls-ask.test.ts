import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import { createTlsAsk } from "./tls-ask.ts";

async function asked() {
  const clock = { now: 0 };
  const tlsAsk = createTlsAsk({ knows: (name) => name === "ada.example", now: () => clock.now });
  const server = createServer((request, response) => {
    if (!tlsAsk(request, response)) response.writeHead(418).end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const ask = async (path: string, method = "GET") =>
    (await fetch(`http://127.0.0.1:${port}${path}`, { method })).status;
  return { clock, ask };
}

it("says yes for a name where an agent lives, however it is written, and for no other", async () => {
  const { ask } = await asked();
  const names = ["ada.example", "ADA.example", "ada.example.", "bob.example", "x.ada.example", ""];
  const statuses = await Promise.all(names.map((name) => ask(`/tls-ask?domain=${encodeURIComponent(name)}`)));
  expect(statuses).toEqual([200, 200, 200, 404, 404, 404]);
  expect(await ask("/tls-ask")).toBe(404);
});

it("is no other question", async () => {
  const { ask } = await asked();
  const others = [
    ask("/gate?domain=ada.example"),
    ask("/tls-ask/x?domain=ada.example"),
    ask("/tls-ask?domain=a", "POST"),
  ];
  expect(await Promise.all(others)).toEqual([418, 418, 418]);
});

it("is not asked without end by whoever connects with ever new names", async () => {
  const { ask, clock } = await asked();
  const statuses = new Set<number>();
  for (let n = 0; n < 601; n += 1) statuses.add(await ask(`/tls-ask?domain=${n}.example`));
  expect(statuses).toEqual(new Set([404, 429]));
  expect(await ask("/tls-ask?domain=ada.example")).toBe(429);
  clock.now += 60_000;
  expect(await ask("/tls-ask?domain=ada.example")).toBe(200);
});
