import { createHash } from "node:crypto";

/** Two small pages of the gate itself. Without script: they ask again by themselves, and the browser's own does it. */
const STYLE = `:root{color-scheme:light dark;font:1.05rem/1.6 system-ui,sans-serif}
body{display:grid;min-height:100vh;margin:0;place-items:center}
main{max-width:28rem;padding:2rem}
h1{font-size:1.4rem;margin:0 0 .5rem}
p{margin:.5rem 0}
progress{width:100%;margin-top:1rem}`;

const hash = createHash("sha256").update(STYLE).digest("base64");
/** Nothing but this one style: what an agent is called or says can put nothing else on the page. */
export const PAGE_POLICY = `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'`;

const REFRESH_SECONDS = 1;

/** The steps of a wake, as far as the visitor may follow them. */
const STEPS: readonly (readonly [step: string, words: string])[] = [
  ["volume", "Opening its storage"],
  ["network", "Checking its network"],
  ["firewall", "Checking its walls"],
  ["config", "Checking its configuration"],
  ["container", "Preparing its cell"],
  ["health", "Waiting for its first sign of life"],
  ["route", "Opening the door"],
];

export function waitingPage(step: string | null, trouble: string | null): string {
  const at = STEPS.findIndex(([name]) => name === step);
  const words = STEPS[at]?.[1] ?? "Waking it";
  const refresh = `<meta http-equiv="refresh" content="${REFRESH_SECONDS}">`;
  const failed = trouble === null ? "" : `<p>The last try did not work: ${escapeHtml(trouble)} We try again.</p>`;
  return document(
    "Waking your agent",
    refresh,
    `<h1>Your agent is waking up</h1>
<p role="status">${words}…</p>
<progress max="${STEPS.length}" value="${Math.max(0, at)}">${words}</progress>
${failed}<p>This page goes on by itself.</p>`,
  );
}

export function failedPage(detail: string): string {
  return document(
    "Your agent needs attention",
    "",
    `<h1>Your agent could not be started</h1>
<p role="status">${escapeHtml(detail)}</p>
<p>Its page on the dashboard says more, and has a button to try again.</p>`,
  );
}

const document = (title: string, head: string, body: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
${head}<style>${STYLE}</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`;

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};
const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (character) => ESCAPES[character] as string);
