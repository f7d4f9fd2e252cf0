import { HAND_OVER, TELEGRAM_SECRET, type TenantSpec } from "../../schema/protocol/index.ts";
import { CONTROL_PLANE, OPENCLAW_HOOKS } from "./openclaw-rpc.ts";
import { CONFIG_PATH, DATA_PATH, PLATFORM_CLIENT, type RuntimeDefinition, USER_HEADER } from "./runtime.ts";

/**
 * OpenClaw 2026.9.6. Identity comes from the proxy alone (`trusted-proxy`), and the proxy is known by its address:
 * the bridge's own, which no other container can speak from.
 */
export const openclaw: RuntimeDefinition = {
  name: "openclaw",
  command: ["node", "dist/index.js", "gateway", "--bind", "lan", "--port", "18789"],
  workingDir: "/app",
  env: {
    HOME: DATA_PATH,
    OPENCLAW_HOME: DATA_PATH,
    OPENCLAW_STATE_DIR: `${DATA_PATH}/.openclaw`,
    XDG_CACHE_HOME: `${DATA_PATH}/.openclaw/cache`,
    OPENCLAW_CONFIG_PATH: `${CONFIG_PATH}/openclaw.json`,
    OPENCLAW_CONFIG_READONLY: "1",
    OPENCLAW_NO_AUTO_UPDATE: "1",
    OPENCLAW_OFFLINE: "1",
    OPENCLAW_DISABLE_BONJOUR: "1",
    // Without it an agent turn peaks hundreds of MiB higher.
    MALLOC_ARENA_MAX: "2",
  },
  port: 18789,
  closed: ["/api/v1/admin"],
  hooks: OPENCLAW_HOOKS,
  configFiles: ({ spec, layout }) => ({
    "openclaw.json": `${JSON.stringify(
      {
        gateway: {
          mode: "local",
          trustedProxies: [layout.gateway],
          auth: {
            mode: "trusted-proxy",
            trustedProxy: {
              userHeader: USER_HEADER,
              requiredHeaders: ["x-forwarded-proto", "x-forwarded-host"],
              allowUsers: [spec.ownerId, CONTROL_PLANE],
              deviceAutoApprove: { enabled: true },
            },
            identityScopes: { [spec.ownerId]: ["operator.admin"], [CONTROL_PLANE]: ["operator.read"] },
          },
          controlUi: { allowedOrigins: [spec.origin] },
          terminal: { enabled: false },
        },
        // A Mistral or OpenRouter key makes it install this plugin through npm at start, and exit 78 without npm.
        plugins: { deny: ["perplexity"], entries: { "admin-http-rpc": { enabled: true } } },
        ...telegram(spec),
        agents: { defaults: { ...thinking(spec), ...heartbeat(spec) } },
      },
      null,
      2,
    )}\n`,
  }),
  // A broken channel turns /readyz to 503: an agent must not be down for that. From the trusted proxy's address a
  // request without a non-loopback client address is refused with 403.
  readiness: {
    path: "/startupz",
    headers: {
      "x-forwarded-for": PLATFORM_CLIENT,
      "x-forwarded-proto": "https",
      "x-forwarded-host": "control-plane.invalid",
    },
  },
  startTimeoutSeconds: 180,
  stopTimeoutSeconds: 20,
};

/**
 * By webhook, and never by polling: that would need a running container and would go past the door. It registers at
 * Telegram what the edge has registered, so that a start changes nothing.
 */
function telegram({ channels }: TenantSpec) {
  const way = HAND_OVER.openclaw.telegram;
  if (!channels?.telegram || way?.form !== "own") return {};
  const { webhookUrl, allowFrom, apiRoot } = channels.telegram;
  return {
    channels: {
      telegram: {
        enabled: true,
        ...(apiRoot && { apiRoot }),
        // Nobody is on an empty list: with it, nobody is heard.
        dmPolicy: "allowlist",
        allowFrom,
        groupPolicy: "disabled",
        webhookUrl,
        // This file is readable by anyone: the secret itself is in the environment.
        webhookSecret: { source: "env", provider: "default", id: TELEGRAM_SECRET },
        webhookPath: way.path,
        webhookHost: "0.0.0.0",
        webhookPort: way.port,
      },
    },
  };
}

/** Every half an hour it would ask its model whether there is something to do: an agent that sleeps would never rest. */
const heartbeat = ({ sleep }: TenantSpec) => (sleep ? { heartbeat: { every: "0m" } } : {});

/** Without a word it would think with OpenAI's model, whatever keys it was given. */
const thinking = ({ model }: TenantSpec) => (model ? { model: { primary: model } } : {});
