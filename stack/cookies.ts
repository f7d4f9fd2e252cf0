interface Cookie {
  name: string;
  value: string;
  host: string;
  path: string;
}

/** The cookies of one browser, by host name: none is shared between two. */
export class CookieJar {
  #cookies: Cookie[] = [];

  headerFor(target: URL): string {
    return this.#cookies
      .filter(({ host, path }) => host === target.hostname && target.pathname.startsWith(path))
      .map(({ name, value }) => `${name}=${value}`)
      .join("; ");
  }

  keep(target: URL, lines: readonly string[]): void {
    for (const line of lines) {
      const [pair = "", ...attributes] = line.split(";").map((part) => part.trim());
      const equals = pair.indexOf("=");
      const name = pair.slice(0, equals);
      const value = pair.slice(equals + 1);
      const attribute = (key: string) =>
        attributes.find((it) => it.toLowerCase().startsWith(`${key}=`))?.slice(key.length + 1);
      const path = attribute("path") ?? "/";
      this.#cookies = this.#cookies.filter((it) => it.name !== name || it.host !== target.hostname || it.path !== path);
      const gone =
        attribute("max-age") === "0" || new Date(attribute("expires") ?? "2999-01-01").getTime() < Date.now();
      if (!gone) this.#cookies.push({ name, value, host: target.hostname, path });
    }
  }
}
