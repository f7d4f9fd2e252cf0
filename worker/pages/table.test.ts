import { expect, it } from "vitest";
import { NOT_PAGES, PAGES } from "../../stack/screens/pages.ts";
import { createEdge } from "../edge.ts";
import { parseEnv } from "../env.ts";
import { testBindings } from "../testing/edge.ts";

it("has every page in the table that is photographed, weighed and checked for what keeps people out", async () => {
  const here = {
    ...{ DASHBOARD_ORIGIN: "http://localhost:8787", TENANT_ORIGIN: "http://*.agents.localhost:8080" },
    MAIL: JSON.stringify({ driver: "mailbox" }),
  };
  const { routes } = createEdge(parseEnv({ ...(await testBindings()), ...here })).app;
  const paths = new Set(routes.filter(({ method }) => method === "GET").map(({ path }) => path));
  const pages = [...paths].filter((path) => !NOT_PAGES.some((pattern) => pattern.test(path)));
  const known = new Set(PAGES.map(({ route }) => route));
  expect(pages.filter((path) => !known.has(path))).toEqual([]);
  expect([...known].filter((path) => path !== "*" && !paths.has(path))).toEqual([]);
});
