import type { RuntimeName } from "../../schema/protocol/index.ts";
import { echo } from "./echo.ts";
import { openclaw } from "./openclaw.ts";
import type { RuntimeDefinition } from "./runtime.ts";

export const RUNTIME_TABLE: Readonly<Record<RuntimeName, RuntimeDefinition>> = { openclaw, echo };
