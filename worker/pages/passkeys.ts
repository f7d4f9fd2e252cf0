/**
 * The one thing that a page cannot do without a script: ask the device for a passkey. It holds no words and no markup;
 * a part of the page that carries `data-passkey` waits hidden until the browser is known to be able.
 */
export const PASSKEY_SCRIPT = `
const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const known = (list) => (list ?? []).map((it) => ({ ...it, id: bytes(it.id) }));

async function ask(path, body) {
  const answer = await fetch("/api/auth/passkey/" + path, body && {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(said.title), { code: said.code });
  return said;
}

const shown = (credential, response) => ({
  id: credential.id, rawId: text(credential.rawId), type: credential.type,
  authenticatorAttachment: credential.authenticatorAttachment ?? undefined,
  clientExtensionResults: credential.getClientExtensionResults(), response,
});

async function signIn() {
  const options = await ask("generate-authenticate-options");
  const credential = await navigator.credentials.get({
    publicKey: { ...options, challenge: bytes(options.challenge), allowCredentials: known(options.allowCredentials) },
  });
  const { clientDataJSON, authenticatorData, signature, userHandle } = credential.response;
  await ask("verify-authentication", { response: shown(credential, {
    clientDataJSON: text(clientDataJSON), authenticatorData: text(authenticatorData), signature: text(signature),
    userHandle: userHandle ? text(userHandle) : undefined,
  }) });
}

async function register(name) {
  const options = await ask("generate-register-options");
  const credential = await navigator.credentials.create({
    publicKey: {
      ...options, challenge: bytes(options.challenge), user: { ...options.user, id: bytes(options.user.id) },
      excludeCredentials: known(options.excludeCredentials),
    },
  });
  const { clientDataJSON, attestationObject } = credential.response;
  await ask("verify-registration", { name, response: shown(credential, {
    clientDataJSON: text(clientDataJSON), attestationObject: text(attestationObject),
    transports: credential.response.getTransports?.() ?? [],
  }) });
}

for (const part of document.querySelectorAll("[data-passkey]")) {
  if (!window.PublicKeyCredential) continue;
  const button = part.querySelector("button");
  const error = part.querySelector("[role=alert]");
  part.hidden = false;
  button.addEventListener("click", async () => {
    error.hidden = true;
    button.disabled = true;
    try {
      const name = part.querySelector("input")?.value.trim();
      await (part.dataset.passkey === "sign-in" ? signIn() : register(name || undefined));
      location.assign(part.dataset.next);
    } catch (cause) {
      if (cause.code === "session_not_fresh") return location.assign(part.dataset.again);
      error.hidden = false;
    } finally {
      button.disabled = false;
    }
  });
}
`;
