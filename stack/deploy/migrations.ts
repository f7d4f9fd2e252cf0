/**
 * While an edge is replaced, the former version runs on the new schema for a while, and runs again if one goes back. So a
 * migration only adds: tables, indexes, and columns that the former version may leave out of its inserts.
 */
const ADDITIVE = [
  /^CREATE TABLE `(\w+)`/,
  /^CREATE INDEX `\w+` ON `\w+`/,
  /^ALTER TABLE `\w+` ADD (?!.*\bNOT NULL\b)/,
  /^ALTER TABLE `\w+` ADD .*\bDEFAULT\b/,
];
const UNIQUE = /^CREATE UNIQUE INDEX `\w+` ON `(\w+)`/;

/** The statements of one migration that the former version of the edge may not survive. */
export function unsafeStatements(sql: string): string[] {
  const statements = sql
    .split("--> statement-breakpoint")
    .map((text) => text.replaceAll(/^--.*$/gm, "").trim())
    .filter(Boolean);
  const made = new Set(statements.flatMap((statement) => /^CREATE TABLE `(\w+)`/.exec(statement)?.[1] ?? []));
  return statements.filter((statement) => {
    const unique = UNIQUE.exec(statement)?.[1];
    // On a table that is there already it would refuse what the former version writes.
    if (unique !== undefined) return !made.has(unique);
    return !ADDITIVE.some((pattern) => pattern.test(statement));
  });
}
