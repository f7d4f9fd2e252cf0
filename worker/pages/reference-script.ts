export const REFERENCE_STYLE = `
.reference { overflow-wrap: anywhere; } .reference > section { margin-top: 2.5rem; } .reference > nav { margin-bottom: 1.5rem; }
.rules li { padding: .3rem 0 .3rem 1.2rem; text-indent: -1.2rem; } .rules li::before { content: "– "; } .rules { margin-bottom: 1.5rem; }
.route { border-top: 1px solid var(--line); padding-block: .3rem; } .route summary { color: inherit; font-weight: 400; } .route[open] { padding-bottom: 1.5rem; }
.method { display: inline-block; min-width: 4.2rem; font: 600 .88rem var(--mono); color: var(--blue); }
.route pre { background: var(--wash); padding: .8rem 1rem; overflow-x: auto; font: .88rem/1.5 var(--mono); border-radius: 3px; white-space: pre; }
.route h3 { margin-top: 1.2rem; } .route textarea { display: block; width: 100%; min-height: 8rem; font: .92rem/1.5 var(--mono); color: inherit; background: var(--paper); border: 1px solid var(--edge); border-radius: 3px; padding: .6rem .75rem; }
.route .limits { grid-template-columns: minmax(0, max-content) minmax(0, 1fr); }
`;

/**
 * Builds the forms that try a route. The key is read from its field at each call and kept nowhere: no storage of the
 * browser is told. Answers are shown as text, never as markup.
 */
export const REFERENCE_SCRIPT = `
const keyForm = document.getElementById("try-key");
keyForm.hidden = false;
keyForm.addEventListener("submit", (event) => event.preventDefault());
const keyField = document.getElementById("key");
const make = (name, properties, ...children) => {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
};
let count = 0;
const field = (label, control) => {
  control.id = "try-" + ++count;
  return make("div", { className: "field" }, make("label", { htmlFor: control.id, textContent: label }), control);
};

function build(form) {
  const { method, path, parameters, body } = JSON.parse(form.dataset.try);
  const inputs = parameters.filter((one) => one.name !== "last-event-id").map((one) => {
    const input = make("input", { required: one.required === true, autocomplete: "off", spellcheck: false });
    form.append(field(one.name, input));
    return { ...one, input };
  });
  const text = body === null ? null : make("textarea", { value: body, spellcheck: false });
  if (text) form.append(field("Body", text));
  const answer = make("pre", { tabIndex: 0, hidden: true });
  answer.setAttribute("role", "status");
  form.append(make("button", { className: "small", textContent: "Send " + method }), answer);
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    answer.hidden = false;
    answer.textContent = "…";
    let target = path;
    const query = new URLSearchParams();
    const headers = {};
    for (const { name, in: where, input } of inputs) {
      if (input.value === "") continue;
      if (where === "path") target = target.replace("{" + name + "}", encodeURIComponent(input.value));
      if (where === "query") query.set(name, input.value);
      if (where === "header") headers[name] = input.value;
    }
    if (keyField.value) headers.authorization = "Bearer " + keyField.value;
    if (text) headers["content-type"] = "application/json";
    try {
      const response = await fetch(target + (query.size ? "?" + query : ""), {
        method, headers, body: text ? text.value : undefined,
        credentials: keyField.value ? "omit" : "same-origin",
      });
      const told = ["content-type", "location", "ratelimit", "retry-after", "idempotency-replayed"]
        .filter((name) => response.headers.has(name)).map((name) => name + ": " + response.headers.get(name));
      answer.textContent = [response.status + " " + response.statusText, ...told, "", await read(response)].join("\\n");
    } catch (error) {
      answer.textContent = "It could not be sent: " + error.message;
    }
  });
}

/** A stream has no end: its first piece shows what it is. */
async function read(response) {
  if ((response.headers.get("content-type") ?? "").startsWith("text/event-stream")) {
    const reader = response.body.getReader();
    const { value } = await reader.read();
    await reader.cancel();
    return new TextDecoder().decode(value) + "…";
  }
  const said = await response.text();
  try { return JSON.stringify(JSON.parse(said), null, 2); } catch { return said; }
}

// Only what is opened is built: most forms are never looked at.
for (const route of document.querySelectorAll("details.route")) {
  const form = route.querySelector("form[data-try]");
  if (form) route.addEventListener("toggle", () => build(form), { once: true });
}
if (location.hash) document.getElementById(location.hash.slice(1))?.setAttribute("open", "");
`.trimStart();
