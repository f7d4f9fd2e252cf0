import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

declare module "vitest" {
  interface ProvidedContext {
    /** Whether `kills.long.test.ts` tries every moment or a sample. */
    everyKill: boolean;
  }
}

/**
 * workerd: the edge and the protocol inside the Workers runtime. node: the host agent's rules and the protocol.
 * system: real Docker, iptables, Caddy, sqld and workerd on test hosts; started by `npm test`, which gives it a
 * network namespace of its own.
 */
export default defineConfig({
  test: {
    projects: [
      {
        plugins: [cloudflareTest({ wrangler: { configPath: "./wrangler.toml" } })],
        test: {
          name: "workerd",
          include: ["worker/**/*.test.{ts,tsx}", "schema/**/*.test.ts"],
          globalSetup: ["./test/sqld.ts"],
          // Not through `import.meta.env`: it is in what vitest keeps of a compiled file, and outlives the variable.
          provide: { everyKill: process.env.EVERY_KILL === "1" },
          // Loading the edge takes longer than most tests of it: files share one Worker, and name what they make.
          isolate: false,
          testTimeout: 30_000,
        },
      },
      {
        test: {
          name: "node",
          include: ["host-agent/**/*.test.ts", "schema/**/*.test.ts", "stack/**/*.test.ts", "test/*.test.ts"],
        },
      },
      {
        test: {
          name: "system",
          include: ["test/system/**/*.test.ts"],
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 300_000,
          // Shared machines stall for seconds; vitest names every test that needed its second try.
          retry: process.env.CI ? 1 : 0,
        },
      },
    ],
  },
});
