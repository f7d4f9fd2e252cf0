import { defineConfig } from "drizzle-kit";

export default defineConfig({
  dialect: "sqlite",
  schema: "./schema/db/index.ts",
  out: "./schema/migrations",
  casing: "snake_case",
});
