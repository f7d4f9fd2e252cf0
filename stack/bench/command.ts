import { Refusal } from "../system.ts";

/** `npm run bench -- NAME [--json]`: each prints a ratio beside the bare thing, measured in the same run. */
const benches: Readonly<Record<string, (json: boolean) => Promise<number>>> = {
  asleep: async (json) => (await import("./asleep.ts")).benchAsleep(json),
  create: async (json) => (await import("./create.ts")).benchCreate(json),
  commands: async (json) => (await import("./commands.ts")).benchCommands(json),
  "forward-auth": async (json) => (await import("./forward-auth.ts")).benchForwardAuth(json),
  gate: async (json) => (await import("./gate.ts")).benchGate(json),
  pages: async (json) => (await import("./pages.ts")).benchPages(json),
  messages: async (json) => (await import("./messages.ts")).benchMessages(json),
  reconcile: async (json) => (await import("./reconcile.ts")).benchReconcile(json),
  vault: async (json) => (await import("./vault.ts")).benchVault(json),
  scale: async (json) => (await import("./scale.ts")).benchScale(json),
  storage: async (json) => (await import("./storage.ts")).benchStorage(json),
  wake: async (json) => (await import("./wake.ts")).benchWake(json),
};

export async function benchCommand(args: string[]): Promise<number> {
  const json = args.includes("--json");
  const [name = "", ...more] = args.filter((argument) => argument !== "--json");
  const bench = Object.hasOwn(benches, name) ? benches[name] : undefined;
  if (!bench || more.length > 0) {
    throw new Refusal(`npm run bench -- NAME [--json] takes one of: ${Object.keys(benches).join(", ")}.`);
  }
  return bench(json);
}
