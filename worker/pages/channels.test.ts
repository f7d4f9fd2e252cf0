import { beforeAll, expect, it } from "vitest";
import { createSlack } from "../../test/stand-ins/slack.ts";
import { asked, type Lab, OWNER_ID, startLab } from "../channels/testing.ts";
import { Client } from "../testing/edge.ts";

const SLACK = {
  token: "xoxb-17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzqqgy",
  secret: "8f742231b10e8888abcd99edcba85a51",
};
const TOKEN = "135792468:AAHfiqksKZ8WmR2zSjiQ7_v4TMAKdiHm9T0";
let lab: Lab;
let page: string;
beforeAll(async () => {
  const slack = createSlack(SLACK.token, SLACK.secret, { now: Date.now });
  lab = await startLab({
    token: TOKEN,
    provider: (url, init) => (url.origin === "https://slack.com" ? asked(slack, url, init) : null),
  });
  page = `/agents/${lab.tenantId}/channels`;
});

const post = (path: string, fields: Record<string, string>, by = lab.owner) =>
  by.request("POST", `${page}/telegram${path}`, new URLSearchParams(fields).toString(), {
    "content-type": "application/x-www-form-urlencoded",
  });
const read = async () => (await lab.owner.request("GET", page)).text();

it("a bot is connected, somebody paired by a code that is shown once, and what was refused is counted", async () => {
  const wrong = await post("", { token: "nonsense" });
  expect(wrong.status).toBe(422);
  expect(await wrong.text()).toMatch(/id="token-error"[^>]*>[^<]*number, a colon/);
  expect((await post("", { token: ` ${TOKEN} ` })).status).toBe(303);
  expect(await read()).toContain("@ada_bot");
  expect(await read()).not.toContain(TOKEN.split(":")[1]);

  const made = await (await post("/pairing", {})).text();
  const [code = ""] = /[A-HJ-KM-NP-Z2-9]{4}-[A-HJ-KM-NP-Z2-9]{4}/.exec(made) ?? [];
  expect(made).toContain(`https://t.me/ada_bot?start=${code}`);
  expect(await read()).not.toContain(code);
  lab.telegram.write(TOKEN, { id: OWNER_ID }, `/start ${code}`);
  lab.telegram.write(TOKEN, { id: 666 }, "let me in");
  await lab.telegram.push(TOKEN);
  const after = await read();
  expect(after).toContain(`<p>${OWNER_ID}</p>`);
  expect(after).toMatch(/<dt>From people who are not on the list<\/dt><dd>1<\/dd>/);
  expect(after).toContain("from 666");
});

it("keeps what was typed beside the message, and nobody else's page opens", async () => {
  const wrong = await post("/people", { person: "@ada" });
  expect(wrong.status).toBe(422);
  const text = await wrong.text();
  expect(text).toMatch(/id="person-error"[^>]*>[^<]*number/);
  expect(text).toContain('value="@ada"');
  const stranger = await new Client(lab.edge).signUp();
  expect((await stranger.request("GET", page)).status).toBe(404);
  expect((await post("/people", { person: "7" }, stranger)).status).toBe(404);
  expect((await post("/remove", {}, stranger)).status).toBe(404);
  expect(lab.telegram.webhookOf(TOKEN)).not.toBeNull();
});

it("each channel has a page of its own; what its owner does at the provider stands on it, and no secret", async () => {
  const to = (path: string, fields: Record<string, string>) =>
    lab.owner.request("POST", `${page}/slack${path}`, new URLSearchParams(fields).toString(), {
      "content-type": "application/x-www-form-urlencoded",
    });
  const wrong = await to("", { ...SLACK, secret: "nonsense" });
  expect(wrong.status).toBe(422);
  expect(await wrong.text()).toMatch(/id="secret-error"[^>]*>[^<]*32 characters/);
  const connected = await to("", SLACK);
  expect([connected.status, connected.headers.get("location")]).toEqual([303, `${page}/slack`]);
  const shown = await (await lab.owner.request("GET", `${page}/slack`)).text();
  expect(shown).toMatch(/<code>https:\/\/chelar\.example\/hooks\/slack\/chn_[a-z2-7]{26}<\/code>/);
  for (const secret of Object.values(SLACK)) expect(shown).not.toContain(secret);
  expect(await read()).toContain(`href="${page}/slack"`);
  expect((await lab.owner.request("GET", `${page}/irc`)).status).toBe(404);
});
