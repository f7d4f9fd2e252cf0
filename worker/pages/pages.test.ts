import { Hono } from "hono";
import { beforeEach, describe, expect, it } from "vitest";
import { PROBLEM_CODES, problem } from "../problem.ts";
import { PERSON } from "./in-memory.ts";
import { problemPage } from "./routes.tsx";
import { ID, type Visit, visit } from "./visiting.ts";
import { eventWords } from "./words.ts";

let ada: Visit;
beforeEach(() => {
  ada = visit();
});

describe("every page", () => {
  const PATHS = [
    "/",
    "/sign-up",
    "/sign-in",
    "/sign-in/code",
    "/verify",
    "/forgot",
    "/reset",
    "/agents",
    "/agents/new",
    `/agents/${ID}`,
    "/agents/tnt_none",
  ];
  const read = async (path: string) => {
    ada.own({ state: "creating" });
    return (await ada.get(path, path.startsWith("/agents") ? undefined : {})).text();
  };

  it.each(PATHS)("%s is one document with language, title, main landmark and one heading", async (path) => {
    const html = await read(path);
    expect(html).toMatch(/^<!doctype html><html lang="en">/);
    expect(html.match(/<main id="main">/g)).toHaveLength(1);
    expect(html.match(/<h1>/g)).toHaveLength(1);
    expect(html).toMatch(/<title>[^<]+ · Chelar<\/title>/);
  });

  it.each(PATHS)("%s holds no inline script, style or handler, so the strict policy costs nothing", async (path) => {
    const html = await read(path);
    expect(html).not.toMatch(/<style|\sstyle=|\son[a-z]+=|javascript:/i);
    for (const [script] of html.matchAll(/<script[^>]*>[^<]*/g)) expect(script).toMatch(/src="\/assets\/[^"]+">$/);
  });

  it.each(["/", `/agents/${ID}`])("%s is below 60 KB at its first load, before compression", async (path) => {
    const html = await read(path);
    let bytes = new TextEncoder().encode(html).length;
    const assets = [...new Set(html.match(/\/assets\/[^"]+/g))];
    expect(assets.length).toBeGreaterThan(1);
    for (const asset of assets) {
      const answer = await ada.get(asset);
      expect(answer.status).toBe(200);
      expect(answer.headers.get("cache-control")).toContain("immutable");
      bytes += (await answer.arrayBuffer()).byteLength;
    }
    expect(bytes).toBeLessThan(60_000);
  });

  it("is kept by no cache as soon as it speaks to a person", async () => {
    for (const path of ["/", "/agents", "/agents/new"]) {
      expect((await ada.get(path)).headers.get("cache-control")).toBe("no-store");
    }
  });

  it("shows what people typed as text, never as markup", async () => {
    const evil = `"><script>alert(1)</script>`;
    ada.world.people.set(PERSON.id, { ...PERSON, name: evil });
    ada.own({ name: evil, hostname: evil, state: "failed", failure: evil });
    const times = { at: "2026-11-22T09:00:00Z", tookMs: 1, fraction: null };
    ada.world.events.set(ID, [{ id: 1, generation: 1, ...times, step: evil, status: "failed", detail: evil }]);
    const answers = [
      await ada.get("/agents"),
      await ada.get(`/agents/${ID}`),
      await ada.post("/agents/new", { name: evil, runtime: evil, provider: evil, key: "" }),
      await ada.post(`/agents/${ID}/delete`, { confirm: `${evil}x` }),
      await ada.post("/sign-in", { email: evil, password: "x", next: evil }, {}),
      await ada.post("/sign-up", { name: evil, email: evil, password: "x", next: evil }, {}),
    ];
    for (const answer of answers) {
      const html = await answer.text();
      expect(html).not.toContain("<script>");
      expect(html).toContain("&lt;script&gt;");
    }
  });
});

it("has words for every problem, with its status and when to come back", async () => {
  for (const code of PROBLEM_CODES) {
    const app = new Hono().get("/", (c) => problemPage(c, problem(code, { retryAfterSeconds: 7 }), null));
    const answer = await app.request("/");
    expect(answer.status).toBe(problem(code).status);
    expect(answer.headers.get("retry-after")).toBe("7");
    expect(await answer.text()).toMatch(/<h1>[A-Z][^<]+<\/h1>/);
  }
});

it("calls a step that it does not know by its own name", () => {
  expect(eventWords("warm_up", "done")).toBe("warm up");
  expect(eventWords("toString", "done")).toBe("toString");
});
