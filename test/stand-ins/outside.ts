import { recipeRef } from "../../host-agent/runtimes/images/recipe.ts";
import { RECIPES } from "../../host-agent/runtimes/images/recipes.ts";
import { internet, type TestHost } from "../hosts/index.ts";
import type { StandIn } from "./http.ts";
import { startModelProvider } from "./model.ts";
import { startTelegram, type TelegramServer } from "./telegram-server.ts";

/** Public ones: the walls let a tenant out to nothing else, and there to the web's ports alone. */
const [TELEGRAM, MODEL] = ["149.154.167.220", "162.159.140.245"];
export const TELEGRAM_ORIGIN = `http://${TELEGRAM}`;
export const MODEL_URL = `http://${MODEL}/v1`;

export interface Outside {
  telegram: TelegramServer;
  model: StandIn;
  close(): Promise<void>;
}

/** A Telegram, and a model provider that knows this one key and always says this. */
export async function startOutside(key: string, says: string): Promise<Outside> {
  for (const address of [TELEGRAM, MODEL]) await internet.addAddress(address);
  const telegram = await startTelegram(TELEGRAM, 80);
  const model = await startModelProvider(MODEL, 80, { key, reply: () => says });
  return { telegram, model, close: async () => void (await Promise.all([telegram.close(), model.close()])) };
}

/**
 * OpenClaw on this server asks our model provider and not OpenAI: one variable in its image, the only thing in which it
 * differs from what is run in production. An owner has no such variable to set.
 */
export async function askOurModel({ dockerSocket, run }: TestHost): Promise<void> {
  const image = recipeRef(RECIPES.openclaw());
  const dockerfile = `FROM ${image}\nENV OPENAI_BASE_URL=${MODEL_URL}\n`;
  await run("docker", ["-H", `unix://${dockerSocket}`, "build", "--quiet", "--tag", image, "-"], dockerfile);
}
