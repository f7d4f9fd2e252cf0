import { z } from "@hono/zod-openapi";
import { fromBase64url, toBase64url } from "../../schema/protocol/index.ts";

const MOST = 100;

const cursor = z
  .string()
  .max(512)
  .transform((text, context): string => {
    const bytes = fromBase64url(text);
    // A cursor that we did not make is compared like any other text, and finds nothing worse than another page.
    if (bytes !== null) return new TextDecoder().decode(bytes);
    context.addIssue({ code: "custom" });
    return z.NEVER;
  });

/** `?limit=1…100&cursor=…`: as they come from the address, and as they are used. */
export const pageQuery = z.object({
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(MOST)
    .default(MOST)
    .openapi({ param: { name: "limit", in: "query" }, type: "integer", minimum: 1, maximum: MOST, default: MOST }),
  cursor: cursor.optional().openapi({
    param: { name: "cursor", in: "query" },
    type: "string",
    description: "`next` of the page before; keep the other parameters as they were.",
  }),
});
export type PageQuery = z.infer<typeof pageQuery>;

/**
 * One page of a list that its owner's limits keep short. `keyOf` must be unique, must never change, and must rise from
 * item to item (fall, with `falling`): the cursor is the last key that was shown, not a count, so whatever is added or
 * removed meanwhile moves nothing from one page to another.
 */
export function pageOf<T>(
  items: readonly T[],
  { limit, cursor }: PageQuery,
  keyOf: (item: T) => string,
  order: "rising" | "falling" = "rising",
): { page: T[]; next: string | null } {
  const isBeyond = (key: string, from: string) => (order === "rising" ? key > from : key < from);
  const sorted = items
    .map((item) => ({ item, key: keyOf(item) }))
    .filter(({ key }) => cursor === undefined || isBeyond(key, cursor))
    .sort((a, b) => (isBeyond(a.key, b.key) ? 1 : -1));
  const shown = sorted.slice(0, limit);
  const last = shown.at(-1);
  const hasMore = sorted.length > shown.length && last !== undefined;
  return {
    page: shown.map(({ item }) => item),
    next: hasMore ? toBase64url(new TextEncoder().encode(last.key)) : null,
  };
}

/** What a paged list answers beside its items. */
export const nextView = { next: z.string().nullable().openapi({ description: "Null on the last page." }) };
