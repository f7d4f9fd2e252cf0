import { html } from "hono/html";
import { type ProblemCode, problem, problemResponse } from "../problem.ts";

export interface Refusal {
  code: ProblemCode;
  title: string;
  /** What to do. Never repeats what was sent. */
  text: string;
  link?: { href: string; label: string };
  retryAfterSeconds?: number;
}

/** A small page for a person at the door, a problem document for everything else. */
export async function refusal(it: Refusal, isPage: boolean): Promise<Response> {
  const { code, title, text, link, retryAfterSeconds } = it;
  const document = problem(code, { detail: `${title} ${text}`, retryAfterSeconds });
  const { status } = document;
  if (!isPage) {
    const response = problemResponse(document);
    // RFC 9110 section 15.5.2: a 401 names the way to do better.
    if (status === 401) response.headers.set("www-authenticate", 'Bearer realm="chelar"');
    return response;
  }
  const body = await html`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${title}</title></head>
<body><main><h1>${title}</h1><p>${text}</p>${link ? html`<p><a href="${link.href}">${link.label}</a></p>` : ""}</main></body>
</html>`;
  return new Response(body.toString(), {
    status,
    headers: {
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
      ...(retryAfterSeconds ? { "retry-after": String(retryAfterSeconds) } : {}),
    },
  });
}

export function redirect(location: string, cookies: readonly string[] = []): Response {
  const headers = new Headers({ location, "cache-control": "no-store", "referrer-policy": "no-referrer" });
  for (const cookie of cookies) headers.append("set-cookie", cookie);
  return new Response(null, { status: 302, headers });
}

export function cookie(name: string, value: string, maxAgeSeconds: number): string {
  const secure = name.startsWith("__Host-") ? "; Secure" : "";
  return `${name}=${value}; Path=/; Max-Age=${maxAgeSeconds}; HttpOnly; SameSite=Lax${secure}`;
}
