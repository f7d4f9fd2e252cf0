/**
 * The one script of the pages, served as it stands here. It holds no words and no markup: on news it fetches the very
 * page it is on and carries over what changed inside `[data-live]`, so the server stays the only renderer and focus,
 * open details and running transitions survive. Without it every page still works, by reloading.
 */
export const LIVE_SCRIPT = `
const REST_MS = 300;
const RETRY_MS = 5000;
/** After a refused button press the address is that of the button. */
const here = document.querySelector("[data-page]")?.dataset.page ?? location.pathname;
const live = () => [...document.querySelectorAll("[data-live][id]")];

/** Makes \`to\` look like \`from\`, touching only what differs. */
function carryOver(from, to) {
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName) return to.replaceWith(from.cloneNode(true));
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (to.nodeValue !== from.nodeValue) to.nodeValue = from.nodeValue;
    return;
  }
  const kept = (name) => to.nodeName === "DETAILS" && name === "open";
  for (const { name } of [...to.attributes]) if (!from.hasAttribute(name) && !kept(name)) to.removeAttribute(name);
  for (const { name, value } of from.attributes) {
    if (to.getAttribute(name) !== value && !kept(name)) to.setAttribute(name, value);
  }
  const wanted = [...from.childNodes];
  const have = [...to.childNodes];
  wanted.forEach((node, i) => (have[i] ? carryOver(node, have[i]) : to.append(node.cloneNode(true))));
  have.slice(wanted.length).forEach((node) => node.remove());
}

let busy = false;
let again = false;
async function refresh() {
  if (busy) { again = true; return; }
  busy = true;
  try {
    const answer = await fetch(here, { headers: { accept: "text/html" }, redirect: "manual" });
    if (answer.type === "opaqueredirect") return location.assign(here);
    if (answer.status === 404) return location.assign(document.querySelector("[data-gone]")?.dataset.gone ?? "/");
    if (answer.ok) {
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of live()) {
        const news = fresh.getElementById(part.id);
        if (news) carryOver(news, part);
      }
    }
  } catch {
    // The network is away: the stream or the next round will call again.
  }
  setTimeout(() => { busy = false; if (again) { again = false; refresh(); } }, REST_MS);
}

const streamed = document.querySelector("[data-stream]");
const polled = document.querySelector("[data-poll-ms]");
let stream = null;
let timer = null;

const poll = () => { timer = setTimeout(() => { refresh(); poll(); }, Number(polled.dataset.pollMs)); };

/** A hidden page holds no connection: browsers allow only a few per site. */
function follow() {
  stream?.close();
  clearTimeout(timer);
  if (document.visibilityState === "hidden") return;
  if (streamed) {
    stream = new EventSource(streamed.dataset.stream);
    for (const name of ["step", "state", "gone"]) stream.addEventListener(name, refresh);
    // Refused for good, as when the session has ended: the page itself knows what to say.
    const own = stream;
    own.addEventListener("error", () => {
      if (own.readyState !== EventSource.CLOSED) return;
      refresh();
      timer = setTimeout(follow, RETRY_MS);
    });
  }
  if (polled) poll();
}
document.addEventListener("visibilitychange", follow);
addEventListener("pagehide", () => { stream?.close(); clearTimeout(timer); });
addEventListener("pageshow", (event) => { if (event.persisted) { follow(); refresh(); } });
follow();
`;
