import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { z } from "zod";
import { generateSigningKey, keyId } from "../../schema/protocol/index.ts";
import { Refusal } from "../system.ts";
import type { Bindings } from "./rules.ts";

/** A value may stand there as JSON, which is easier to read; an edge is given text. */
const file = z.record(z.string().regex(/^[A-Z][A-Z0-9_]*$/), z.union([z.string(), z.looseObject({})]));

/** Everything that an edge needs and that can be drawn. The database and mail are whoever's who keeps them. */
export async function freshBindings({ dashboard, tenants }: { dashboard: string; tenants: string }) {
  const random = () => randomBytes(32).toString("base64url");
  const commandKey = await generateSigningKey();
  const kid = await keyId(commandKey);
  return {
    DASHBOARD_ORIGIN: dashboard,
    TENANT_ORIGIN: tenants,
    AUTH_SECRET: random(),
    OPERATOR_TOKEN: random(),
    METRICS_TOKEN: random(),
    COMMAND_KEYS: JSON.stringify({ version: 1, current: kid, keys: [{ kid, ...commandKey }] }),
    VAULT_KEYS: JSON.stringify({ current: 1, keys: { 1: random() } }),
    TICKET_KEY: JSON.stringify(await generateSigningKey()),
  };
}

/** Reads what `deploy init` wrote and its operator completed. */
export function readBindings(path: string): Bindings {
  if (!existsSync(path)) {
    throw new Refusal(`there is no ${path}: make one with \`npm run deploy -- init --dashboard … --tenants …\`.`);
  }
  if (statSync(path).mode & 0o077) throw new Refusal(`${path} is readable by others: chmod 600 ${path}`);
  let parsed: z.infer<typeof file>;
  try {
    parsed = file.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch {
    throw new Refusal(`${path} is not a JSON object of bindings: names in capitals, each with text or JSON.`);
  }
  return Object.fromEntries(
    Object.entries(parsed).map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]),
  );
}

/** Never over one that is there: the keys in it open every secret of every agent. */
export function writeBindings(path: string, bindings: Record<string, unknown>): void {
  try {
    writeFileSync(path, `${JSON.stringify(bindings, null, 2)}\n`, { mode: 0o600, flag: "wx", flush: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw new Refusal(`${path} is there already, and its keys may be in use: name another file, or move it away.`);
  }
}
