import { DATA_PATH, type RuntimeDefinition } from "./runtime.ts";

/**
 * Any OCI image that listens on the port it is told, taken by a digest that the operator has allowed. It is asked for
 * nothing but an answer: it sleeps by the kernel's and the engine's word alone, and there is no status of its own.
 */
export const custom: RuntimeDefinition = {
  name: "custom",
  command: null,
  workingDir: null,
  env: { HOME: DATA_PATH, PORT: "8080" },
  port: 8080,
  configFiles: ({ spec }) => ({ "agent.json": `${JSON.stringify({ origin: spec.origin })}\n` }),
  readiness: { path: "/", headers: {}, anyAnswer: true },
  startTimeoutSeconds: 60,
  stopTimeoutSeconds: 10,
};
