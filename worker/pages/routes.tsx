import { type Context, Hono } from "hono";
import { ownAccountRoutes } from "./account-routes.tsx";
import { accountRoutes } from "./accounts-routes.tsx";
import { agentPartRoutes } from "./agent-routes.tsx";
import { agentRoutes } from "./agents-routes.tsx";
import { assetRoutes } from "./assets.ts";
import { billingRoutes } from "./billing-routes.tsx";
import { channelRoutes } from "./channels-routes.tsx";
import type { PageDeps } from "./deps.ts";
import { LANDING_TEXT, Landing } from "./landing.tsx";
import { page } from "./layout.tsx";
import { mailboxRoutes } from "./mailbox.tsx";
import { keyRoutes } from "./secrets.tsx";
import { setupRoutes } from "./setup-routes.tsx";
import { wizardRoutes } from "./wizard-routes.tsx";

export { problemPage } from "./errors.tsx";

/**
 * Everything a person sees. Forms are plain posts to these routes, answered with a redirect (303) or with the same
 * page and the message at its field; that a post came from our own pages is checked before it gets here.
 */
export function pageRoutes(deps: PageDeps): Hono {
  const app = new Hono();
  assetRoutes(app);
  app.get("/", async (c: Context) => {
    const person = await deps.person(c);
    const title = "Your AI agent, inside five walls";
    return page(c, { title, person, description: LANDING_TEXT, children: <Landing person={person} /> });
  });
  accountRoutes(app, deps);
  ownAccountRoutes(app, deps);
  mailboxRoutes(app, deps);
  wizardRoutes(app, deps);
  setupRoutes(app, deps);
  agentRoutes(app, deps);
  agentPartRoutes(app, deps);
  keyRoutes(app, deps, deps.keys);
  channelRoutes(app, deps);
  billingRoutes(app, deps);
  return app;
}
