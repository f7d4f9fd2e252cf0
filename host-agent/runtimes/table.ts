import type { RuntimeName } from "../../schema/protocol/index.ts";
import { custom } from "./custom.ts";
import { echo } from "./echo.ts";
import { openclaw } from "./openclaw.ts";
import type { RuntimeDefinition } from "./runtime.ts";
import { zeroclaw } from "./zeroclaw.ts";

export const RUNTIME_TABLE: Readonly<Record<RuntimeName, RuntimeDefinition>> = { openclaw, echo, zeroclaw, custom };
