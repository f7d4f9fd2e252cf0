import type { BuiltRuntime } from "../../../schema/protocol/index.ts";
import { echoRecipe } from "./echo.ts";
import { openclawRecipe } from "./openclaw.ts";
import type { Recipe } from "./recipe.ts";

/** One row per runtime. Functions, so that a host never reads the inputs of a runtime that it does not run. */
export const RECIPES: Readonly<Record<BuiltRuntime, () => Recipe>> = { openclaw: openclawRecipe, echo: echoRecipe };
