/**
 * Checks the ledger in the reader's own browser, from what stands on the page. The same rule as `verifyLedger` of the
 * protocol, written a second time on purpose: a browser should not have to trust what found it unbroken. A test holds
 * both to the same answers.
 */
export const LEDGER_SCRIPT = `
const START = "A".repeat(43);
const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");

export async function holds(agent, entries) {
  let before = null;
  for (const { epoch, number, at, type, generation, jti, commandHash, previous, hash } of entries) {
    const text = JSON.stringify(
      ["chelar-ledger-1", agent, epoch, number, at, type, generation, jti, commandHash, previous]);
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
    if (base64url(new Uint8Array(digest)) !== hash) return false;
    // Another server, or an enrolment anew, begins a chain of its own.
    const isStart = number === 1 && previous === START;
    const isNext = before !== null && number === before.number + 1 && previous === before.hash;
    if (!isStart && !isNext) return false;
    before = { number, hash };
  }
  return true;
}

const ledger = globalThis.document?.querySelector("[data-ledger]");
const offer = ledger?.querySelector("[data-verify]");
// Without a secure context there is nothing to compute with.
if (offer && crypto.subtle) {
  offer.hidden = false;
  offer.firstElementChild.addEventListener("click", async () => {
    const entries = [...ledger.querySelectorAll("[data-entry]")].map((line) => JSON.parse(line.dataset.entry));
    const said = (await holds(ledger.dataset.ledger, entries.reverse())) ? "intact" : "broken";
    for (const words of ledger.querySelectorAll("[data-said]")) words.hidden = words.dataset.said !== said;
  });
}
`;
