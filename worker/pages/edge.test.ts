import { beforeAll, describe, expect, it } from "vitest";
import { randomText, startTestEdge, type TestEdge } from "../testing/edge.ts";
import { TestHost } from "../testing/host.ts";

/** The pages inside the real edge, on the real database, as a browser without JavaScript uses them. */
let edge: TestEdge;
let host: TestHost;

beforeAll(async () => {
  host = await TestHost.make();
  edge = await startTestEdge({ fetch: host.fetch as typeof fetch });
  await host.enrol(edge);
});

class Browser {
  cookie = "";
  async ask(path: string, form?: Record<string, string>, origin = edge.config.dashboardOrigin): Promise<Response> {
    const answer = await edge.send(path, {
      method: form ? "POST" : "GET",
      headers: { accept: "text/html", cookie: this.cookie, ...(form ? { origin } : {}) },
      ...(form ? { body: new URLSearchParams(form) } : {}),
    });
    for (const cookie of answer.headers.getSetCookie()) this.cookie = cookie.split(";")[0] as string;
    return answer;
  }
  async go(path: string, form: Record<string, string>): Promise<string> {
    const answer = await this.ask(path, form);
    expect(answer.status, await answer.clone().text()).toBe(303);
    return answer.headers.get("location") as string;
  }
}

/** Signs up by the form, and confirms by the link in the mail. */
async function signUp(browser: Browser, credentials: ReturnType<typeof person>): Promise<string> {
  expect((await browser.ask("/sign-up", credentials)).status).toBe(200);
  const letter = edge.letters.findLast(({ to }) => to === credentials.email)?.text ?? "";
  const link = new URL(/https:\S+\/verify\S+/.exec(letter)?.[0] ?? "");
  const form = await (await browser.ask(link.pathname + link.search)).text();
  const token = /name="token" value="([^"]+)"/.exec(form)?.[1] ?? "";
  return browser.go("/verify", { token, password: credentials.password });
}

const person = () => ({ name: "Ada", email: `${randomText()}@example.com`, password: "correct horse battery" });

describe("a person without JavaScript", () => {
  it("signs up, creates an agent, sees it running, deletes it and signs out", async () => {
    const ada = new Browser();
    const credentials = person();
    expect(await signUp(ada, credentials)).toBe("/agents");
    expect(await (await ada.ask("/agents")).text()).toContain("Create your first agent");

    const name = `t${randomText()}`;
    const key = "sk-ant-api03-0123456789abcdef";
    expect(await (await ada.ask(`/agents/new?name=${name}`)).text()).toContain("What does it run?");
    const setup = await ada.go("/agents/new", { name, runtime: "echo", provider: "anthropic", key });
    expect(setup).toMatch(/^\/agents\/tnt_[a-z2-7]{26}\/setup\?provider=anthropic&said=unreachable$/);
    expect(await (await ada.ask(setup)).text()).toContain("could not be reached, so the key was not tried");
    const page = setup.replace(/\/setup.*/, "");
    expect(await (await ada.ask(page)).text()).toContain("Your agent is next in line");

    const tenantId = page.slice("/agents/".length);
    const about = { tenantId, generation: 1 };
    const reports = await host.report(
      { type: "tenant.progress", ...about, step: "route", status: "done", tookMs: 2 },
      { type: "tenant.state", ...about, state: "running" },
    );
    expect((await host.post(edge, reports)).status).toBe(200);
    const running = await (await ada.ask(page)).text();
    expect(running).toContain("Your agent is running");
    expect(running).toContain("Door open, for you only");
    expect(running).not.toContain(key);

    expect((await ada.ask(`${page}/delete`, { confirm: "other" })).status).toBe(422);
    expect(await ada.go(`${page}/delete`, { confirm: name })).toBe(page);
    expect(await (await ada.ask(page)).text()).toContain("Being deleted");
    expect((await ada.ask(`${page}/restart`, {})).status).toBe(409);

    expect(await ada.go("/sign-out", {})).toBe("/");
    expect((await ada.ask("/agents")).headers.get("location")).toBe("/sign-in?next=%2Fagents");
    const { email, password } = credentials;
    expect(await ada.go("/sign-in", { email, password, next: page })).toBe(page);
  });

  it("is told at the field what is wrong, by the rooms that know", async () => {
    const ada = new Browser();
    const short = await ada.ask("/sign-up", { ...person(), password: "short" });
    expect(short.status).toBe(422);
    expect(await short.text()).toContain(`id="password-error"`);
    await signUp(ada, person());
    const wrong: [Record<string, string>, field: string, status: number][] = [
      [{ name: "admin", runtime: "echo", later: "yes" }, "name", 422],
      [{ name: "x", runtime: "echo", later: "yes" }, "name", 422],
      [{ name: `t${randomText()}`, runtime: "cobol", later: "yes" }, "runtime", 422],
      [{ name: `t${randomText()}`, runtime: "echo", provider: "anthropic", key: "sk-wrong" }, "key", 422],
    ];
    for (const [form, field, status] of wrong) {
      const answer = await ada.ask("/agents/new", form);
      expect(answer.status).toBe(status);
      expect(await answer.text()).toContain(`id="${field}-error"`);
    }
    expect(await (await ada.ask("/agents")).text()).toContain("Create your first agent");
  });

  it("cannot be made to act by another site's form", async () => {
    const ada = new Browser();
    await signUp(ada, person());
    const answer = await ada.ask("/agents/new", { name: `t${randomText()}`, runtime: "echo" }, "https://evil.example");
    expect(answer.status).toBe(403);
    expect(await (await ada.ask("/agents")).text()).toContain("Create your first agent");
  });

  it("gets pages under a policy that runs no inline script", async () => {
    const answer = await new Browser().ask("/");
    expect(answer.headers.get("content-security-policy")).toContain(
      "default-src 'none'; script-src 'self'; style-src 'self'",
    );
    expect((await new Browser().ask("/nowhere")).status).toBe(404);
  });
});

it.each([
  ["names no boundary", "multipart/form-data", "x"],
  ["ends in the middle", "multipart/form-data; boundary=aaa", "--aaa\r\nx"],
])("a form that %s is refused as the sender's mistake", async (_what, type, body) => {
  const headers = { "content-type": type, origin: edge.config.dashboardOrigin };
  const answer = await edge.send("/sign-in", { method: "POST", headers, body });
  expect([answer.status, await answer.json()]).toMatchObject([400, { code: "invalid_body" }]);
});
