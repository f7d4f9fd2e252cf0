import { beforeEach, describe, expect, it } from "vitest";
import { PERSON } from "./in-memory.ts";
import { errorAt, ID, type Visit, visit } from "./visiting.ts";

let ada: Visit;
beforeEach(() => {
  ada = visit();
});
const stranger = {};
const location = (answer: Response) => answer.headers.get("location");

describe("signing up and in", () => {
  it("signs up to a page that says where to look, in the same words for everybody", async () => {
    const form = { name: "Ada", email: "new@example.org", password: "long enough" };
    const answer = await ada.post("/sign-up", form, stranger);
    expect([answer.status, answer.headers.get("set-cookie")]).toEqual([200, null]);
    const html = await answer.text();
    expect(html).toContain("Look into your mail");
    const taken = await (await ada.post("/sign-up", { ...form, email: PERSON.email }, stranger)).text();
    expect(taken.replaceAll(PERSON.email, form.email)).toBe(html);
  });

  it("sets the session's cookie and goes to the agents", async () => {
    const answer = await ada.post("/sign-in", { email: PERSON.email, password: "x" }, stranger);
    expect([answer.status, location(answer)]).toEqual([303, "/agents"]);
    expect(answer.headers.get("set-cookie")).toContain(`as=${PERSON.id}`);
  });

  it("asks for the code of whoever has a second factor, and then goes where they wanted to go", async () => {
    const credentials = { email: PERSON.email, password: "asks for a code", next: "/agents/new" };
    const first = await ada.post("/sign-in", credentials, stranger);
    expect([location(first), first.headers.get("set-cookie")]).toEqual(["/sign-in/code?next=%2Fagents%2Fnew", null]);
    const wrong = await ada.post("/sign-in/code", { code: "000000", next: "/agents/new" }, stranger);
    expect(await errorAt(wrong.clone(), "code")).toBe("This code is wrong.");
    expect(await wrong.text()).not.toContain("000000");
    const right = await ada.post("/sign-in/code", { code: "123 456", next: "/agents/new" }, stranger);
    expect(location(right)).toBe("/agents/new");
    expect(right.headers.get("set-cookie")).toContain(`as=${PERSON.id}`);
  });

  it("goes where the person wanted to go, carried from the link through the form", async () => {
    const next = "/authorize?host=ada-helper.agents.localhost";
    const form = await (await ada.get(`/sign-in?next=${encodeURIComponent(next)}`, stranger)).text();
    expect(form).toContain(`name="next" value="${next}"`);
    expect(form).toContain(`href="/sign-up?next=${encodeURIComponent(next)}"`);
    const answer = await ada.post("/sign-in", { email: PERSON.email, password: "x", next }, stranger);
    expect(location(answer)).toBe(next);
  });

  it.each(["//evil.example", "https://evil.example", "/\\evil.example"])("never leads to %s", async (next) => {
    const credentials = { email: PERSON.email, password: "x" };
    expect(location(await ada.post("/sign-in", { ...credentials, next }, stranger))).toBe("/agents");
    expect(location(await ada.get(`/sign-in?next=${encodeURIComponent(next)}`))).toBe("/agents");
    const form = await (await ada.get(`/sign-up?next=${encodeURIComponent(next)}`, stranger)).text();
    expect(form).not.toContain("evil");
  });

  it("puts the message at the field and keeps what was typed, but never the password", async () => {
    const typed = { name: "Ada L", email: "new@example.org", password: "shorty-42" };
    const answer = await ada.post("/sign-up", typed, stranger);
    expect(answer.status).toBe(422);
    const html = await answer.clone().text();
    expect(html).toContain(`value="Ada L"`);
    expect(html).toContain(`value="new@example.org"`);
    expect(html).not.toContain("shorty-42");
    expect(await errorAt(answer, "password")).toBe("Use at least 10 characters.");
  });

  it("says what is missing, at its field", async () => {
    const email = "ada@example.org";
    const noName = await ada.post("/sign-up", { email, password: "long enough" }, stranger);
    expect(await errorAt(noName, "name")).toBe("Please tell us your name.");
    const noEmail = await ada.post("/sign-in", { password: "x" }, stranger);
    expect(await errorAt(noEmail, "email")).toBe("Please enter your e-mail address.");
    const noPassword = await ada.post("/sign-in", { email }, stranger);
    expect(await errorAt(noPassword, "password")).toBe("Please enter a password.");
  });

  it("ends the session on sign-out", async () => {
    const answer = await ada.post("/sign-out", {});
    expect(answer.status).toBe(303);
    expect(answer.headers.get("set-cookie")).toContain("Max-Age=0");
  });
});

describe("a stranger", () => {
  it.each(["/agents", "/agents/new", `/agents/${ID}`])("at %s signs in first and is brought back", async (path) => {
    ada.own();
    const answer = await ada.get(path, stranger);
    expect([answer.status, location(answer)]).toEqual([303, `/sign-in?next=${encodeURIComponent(path)}`]);
  });

  it.each(["new", `${ID}/stop`, `${ID}/delete`])("changes nothing by a post to %s", async (path) => {
    ada.own();
    const form = { name: "abc", runtime: "echo", confirm: "ada-helper" };
    expect(location(await ada.post(`/agents/${path}`, form, stranger))).toBe("/sign-in?next=%2Fagents");
    expect([...ada.world.created, ...ada.world.acted]).toEqual([]);
  });
});
