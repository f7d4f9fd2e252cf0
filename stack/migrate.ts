import { fileURLToPath } from "node:url";
import { createClient } from "@libsql/client/http";
import { drizzle } from "drizzle-orm/libsql/http";
import { migrate as run } from "drizzle-orm/libsql/migrator";

const FOLDER = fileURLToPath(new URL("../schema/migrations", import.meta.url));

/** Brings the database at `url` to the newest schema; what is applied already is left alone. */
export async function migrate(url: string, authToken?: string): Promise<void> {
  const client = createClient({ url, authToken });
  try {
    await run(drizzle({ client }), { migrationsFolder: FOLDER });
  } finally {
    client.close();
  }
}
