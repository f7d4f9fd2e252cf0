/** What a provider thinks of a key, as far as one cheap call can tell. */
export const VERDICTS = [
  "accepted",
  "wrong_key",
  "no_credit",
  "not_allowed",
  "busy",
  "unreachable",
  "unclear",
] as const;
export type Verdict = (typeof VERDICTS)[number];

export interface Answer {
  status: number;
  text: string;
  /** Null where the text is none. */
  json: unknown;
}

/** One authenticated call that costs nothing, or a single token. `{key}` in the URL stands for the key. */
export interface LiveCheck {
  url: string;
  headers(key: string): Readonly<Record<string, string>>;
  /** Posted as JSON; without it the call is a GET. */
  body?: object;
  /** What is this provider's own; null leaves it to the status. */
  judge?(answer: Answer): Verdict | null;
}

export function judge(check: LiveCheck, answer: Answer): Verdict {
  const own = check.judge?.(answer);
  if (own) return own;
  const { status } = answer;
  if (status === 401) return "wrong_key";
  if (status === 402) return "no_credit";
  if (status === 403) return "not_allowed";
  if (status === 429 || status === 503 || status === 529) return "busy";
  // Past the check of the key: 404 is a model that the account has not got.
  return (status >= 200 && status < 300) || status === 404 ? "accepted" : "unclear";
}

export function verdictWords(verdict: Verdict, provider: string): string {
  switch (verdict) {
    case "accepted":
      return `${provider} accepts this key.`;
    case "wrong_key":
      return `${provider} does not know this key: it is wrong, revoked or expired.`;
    case "no_credit":
      return `${provider} knows this key, but its account has no credit left.`;
    case "not_allowed":
      return `${provider} knows this key, but does not allow it what an agent needs.`;
    case "busy":
      return `${provider} is too busy to say whether it accepts this key.`;
    case "unreachable":
      return `${provider} could not be reached, so the key was not tried.`;
    case "unclear":
      return `${provider} gave no clear answer about this key.`;
  }
}

/** The member of an answer at that path, or undefined. */
export function says(json: unknown, ...path: readonly string[]): unknown {
  let it = json;
  for (const name of path) {
    if (typeof it !== "object" || it === null || !Object.hasOwn(it, name)) return undefined;
    it = (it as Record<string, unknown>)[name];
  }
  return it;
}
