import { z } from "zod";
import { CONFIG_PATH, DATA_PATH, type RuntimeDefinition, TURN_MS } from "./runtime.ts";

/** Our own small image for tests and first impressions: says what it saw, and misbehaves when told to. */
export const echo: RuntimeDefinition = {
  name: "echo",
  command: ["/usr/local/bin/node", "/app/server.mjs"],
  workingDir: DATA_PATH,
  env: { HOME: DATA_PATH, PORT: "8080", CHELAR_CONFIG: `${CONFIG_PATH}/echo.json` },
  port: 8080,
  closed: ["/ask"],
  configFiles: ({ spec }) => ({ "echo.json": `${JSON.stringify({ tenantId: spec.id, origin: spec.origin })}\n` }),
  hooks: {
    async busy(ask) {
      const { busy } = z.object({ busy: z.boolean() }).parse(await ask({ path: "/busy" }));
      return busy ? "a job is running" : null;
    },
    async status(ask) {
      const { nextRunMs } = z.object({ nextRunMs: z.int().min(0).nullable() }).parse(await ask({ path: "/busy" }));
      return { healthy: true, jobs: nextRunMs === null ? [] : [{ enabled: true, nextRunAt: nextRunMs }], channels: [] };
    },
    async answer(ask, question) {
      const said = await ask({ method: "POST", path: "/ask", body: question, timeoutMs: TURN_MS });
      return z.object({ answer: z.string().nullable() }).parse(said).answer;
    },
    async nextRunMs(ask) {
      return z.object({ nextRunMs: z.int().min(0).nullable() }).parse(await ask({ path: "/busy" })).nextRunMs;
    },
  },
  readiness: { path: "/healthz", headers: {} },
  startTimeoutSeconds: 30,
  stopTimeoutSeconds: 5,
};
