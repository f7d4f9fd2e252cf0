import type { FC } from "hono/jsx";

const TABS = {
  overview: { path: "", label: "Overview" },
  channels: { path: "/channels", label: "Channels" },
  keys: { path: "/keys", label: "Keys" },
  data: { path: "/data", label: "Data" },
  security: { path: "/security", label: "Security" },
} as const;

/** The pages of one agent. */
export const Tabs: FC<{ id: string; name: string; at: keyof typeof TABS }> = ({ id, name, at }) => (
  <>
    <p class="crumb">
      <a href="/agents">Your agents</a>
    </p>
    <nav class="tabs" aria-label={`Pages of ${name}`}>
      {Object.entries(TABS).map(([tab, { path, label }]) => (
        <a href={`/agents/${id}${path}`} aria-current={tab === at ? "page" : undefined}>
          {label}
        </a>
      ))}
    </nav>
  </>
);
