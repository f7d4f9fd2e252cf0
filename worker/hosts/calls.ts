import type { Context } from "hono";
import { REPORT_PATH } from "../../schema/protocol/index.ts";
import { addressKey } from "../accounts/rules.ts";

/**
 * Whom a host's call counts for: the address that it comes from. Not the host that it names, since whoever has no key can
 * name any, and would use up the turns of the one that he means to silence.
 */
export const hostCalls = (c: Context) => ({
  caller: addressKey(c.req.header("cf-connecting-ip") ?? "unknown"),
  policy: c.req.path === REPORT_PATH ? ("reports" as const) : ("enrolments" as const),
});
