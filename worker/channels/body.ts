import { z } from "zod";

/** What is kept of a message for an agent that is asked: its words, and what its provider wants to see again. */
const kept = z.object({ text: z.string(), reply: z.string().nullable() });
export type Kept = z.infer<typeof kept>;

export const keep = ({ text, reply }: Kept): Uint8Array<ArrayBuffer> =>
  new TextEncoder().encode(JSON.stringify({ text, reply })) as Uint8Array<ArrayBuffer>;

/** Written by {@link keep} and by nobody else: sealed meanwhile. */
export const keptIn = (body: Uint8Array): Kept => kept.parse(JSON.parse(new TextDecoder().decode(body)));
