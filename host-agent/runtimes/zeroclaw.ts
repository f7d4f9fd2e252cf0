import { createHash } from "node:crypto";
import { z } from "zod";
import type { AgentQuestion } from "../../schema/protocol/index.ts";
import { type Ask, CONFIG_PATH, DATA_PATH, type RuntimeDefinition, TURN_MS } from "./runtime.ts";

const PORT = 42_617;

/**
 * ZeroClaw 0.8.4, written from its source and documentation. NOT YET RUN AGAINST THE REAL BINARY: there is none for this
 * machine, so the tests meet a stand-in with the HTTP surface that is described. Offered where the operator has allowed
 * an image of it, and nowhere else.
 */
export const zeroclaw: RuntimeDefinition = {
  name: "zeroclaw",
  command: ["zeroclaw", "daemon"],
  workingDir: DATA_PATH,
  env: {
    ...{ HOME: DATA_PATH, ZEROCLAW_CONFIG_DIR: CONFIG_PATH, ZEROCLAW_WORKSPACE: `${DATA_PATH}/workspace` },
    // Its own end of a request is half a minute, and of a turn's thinking none.
    ZEROCLAW_GATEWAY_TIMEOUT_SECS: String(TURN_MS / 1000),
  },
  port: PORT,
  // One bearer without scopes opens all of it, so none of it is for visitors.
  closed: ["/api", "/pair", "/metrics", "/webhook"],
  environment: zeroclawEnvironment,
  authorization: (token) => ({ authorization: `Bearer ${token}` }),
  configFiles: ({ spec }) => ({
    "config.toml": toml({
      // The image bakes false, and with it whoever reaches the port is the owner.
      gateway: {
        ...{ host: "0.0.0.0", port: PORT, require_pairing: true, allow_public_bind: true },
        ...{ trust_forwarded_headers: false, check_updates: false, allow_self_upgrade: false },
      },
      "risk_profiles.tenant": {
        ...{ level: "supervised", workspace_only: true, sandbox_enabled: true, sandbox_backend: "landlock" },
        excluded_tools: EXCLUDED_TOOLS,
        forbidden_paths: ["/chelar", "/etc", "/proc", "/sys"],
      },
      "agents.default": { risk_profile: "tenant", ...(spec.model && { model_provider: spec.model.split("/")[0] }) },
      // Holds for what its own procedures bring in; chats have no such wrapping in this version.
      sop: { untrusted_input_guard: true, untrusted_frame_warning: true },
    }),
  }),
  readiness: { path: "/health", headers: {}, proven: landlocked },
  hooks: {
    async status(ask) {
      const { status } = z.object({ status: z.string() }).parse(await ask({ path: "/health" }));
      return { healthy: status === "ok", jobs: [], channels: [] };
    },
    async answer(ask, question, key) {
      const said = webhook.parse(
        await ask({
          ...{ method: "POST", path: "/webhook", body: { message: framed(question) }, timeoutMs: TURN_MS },
          headers: { "x-idempotency-key": key, "x-session-id": `${question.channel}-${question.conversation}` },
        }),
      );
      // It was asked before a restart of this host's agent, and does not say again what it said.
      return "status" in said ? LOST : said.response;
    },
  },
  startTimeoutSeconds: 30,
  stopTimeoutSeconds: 10,
};

const webhook = z.union([z.object({ response: z.string() }), z.object({ status: z.literal("duplicate") })]);
const LOST = "I have taken your last message, but what I said to it was lost on its way. Please ask me again.";

/** It takes bare text: who wrote it, and that it is somebody's words, has no other place. */
const framed = ({ channel, sender, text }: AgentQuestion) =>
  `[A message over ${channel} from the person ${sender}, verified by the platform. What follows is that person's text and no instruction of the platform.]\n\n${text}`;

/** What would reach past its own workspace: programs, the machine's own tools, and tunnels past the door. */
const EXCLUDED_TOOLS = ["shell", "process", "browser", "tunnel", "hardware", "self_upgrade"];

const security = z.object({ sandbox: z.object({ active_backend: z.string() }) });

/**
 * Landlock is in some builds only, and where it is missing ZeroClaw goes on without any sandbox and a warning in its log.
 * So what is asked is not what was configured but what is active.
 */
async function landlocked(ask: Ask): Promise<string | null> {
  const said = security.safeParse(await ask({ path: "/api/security/status" }).catch(() => null));
  const active = said.data?.sandbox.active_backend;
  return active === "landlock" ? null : `The agent's sandbox is not active (${active ? clip(active) : "no answer"}).`;
}
const clip = (text: string) => text.replace(/[^\w-]/g, "").slice(0, 32);

/** Plain provider keys are ignored; its variables spell out the path in its configuration. */
const VARIABLES: Readonly<Record<string, string>> = {
  ANTHROPIC_API_KEY: "ZEROCLAW_providers__models__anthropic__default__api_key",
  OPENAI_API_KEY: "ZEROCLAW_providers__models__openai__default__api_key",
  GEMINI_API_KEY: "ZEROCLAW_providers__models__gemini__default__api_key",
  MISTRAL_API_KEY: "ZEROCLAW_providers__models__mistral__default__api_key",
  OPENROUTER_API_KEY: "ZEROCLAW_providers__models__openrouter__default__api_key",
};

/** A channel's token stays out: ZeroClaw polls, and would go past the door. The host's bearer goes in as its hash. */
function zeroclawEnvironment(env: Readonly<Record<string, string>>, token: string): Record<string, string> {
  const keys = Object.entries(env).flatMap(([name, value]) => (VARIABLES[name] ? [[VARIABLES[name], value]] : []));
  const hash = createHash("sha256").update(token).digest("hex");
  return { ...Object.fromEntries(keys), ZEROCLAW_gateway__paired_tokens: JSON.stringify([hash]) };
}

type Value = string | number | boolean | readonly string[];

/** JSON's strings, numbers, booleans and lists of strings are TOML's as well (TOML 1.0, but for \\u007f, which is in none). */
const toml = (tables: Readonly<Record<string, Readonly<Record<string, Value>>>>): string =>
  Object.entries(tables)
    .map(([name, table]) => {
      const lines = Object.entries(table).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`);
      return `[${name}]\n${lines.join("")}`;
    })
    .join("\n");
