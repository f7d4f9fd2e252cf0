import type { Mail } from "../mail/rules.ts";

/** What we write to people. Never a password, and a link only where it is the point of the letter. */
export interface LetterDesk {
  confirm(to: string, token: string): Mail;
  alreadyHere(to: string): Mail;
  reset(to: string, token: string): Mail;
  changed(to: string, what: string): Mail;
}

export function letterDesk(origin: string): LetterDesk {
  const letter = (to: string, subject: string, ...lines: string[]): Mail => ({
    to,
    subject,
    text: [...lines, "", "Chelar", origin].join("\n"),
  });
  const link = (path: string, token: string) => `${origin}${path}?${new URLSearchParams({ token })}`;
  return {
    confirm: (to, token) =>
      letter(
        to,
        "Confirm your address",
        "Somebody, hopefully you, opened an account at Chelar with this address. To confirm it and sign in:",
        "",
        link("/verify", token),
        "",
        "The link works for a day, together with the password that was chosen.",
        "If it was not you, ignore this mail: without you nothing happens.",
      ),
    alreadyHere: (to) =>
      letter(
        to,
        "You already have an account",
        "Somebody, hopefully you, tried to open an account at Chelar with this address, but it has one already.",
        "",
        `Sign in:           ${origin}/sign-in`,
        `Password unknown:  ${origin}/forgot`,
        "",
        "If it was not you, there is nothing to do: nobody was let in.",
      ),
    reset: (to, token) =>
      letter(
        to,
        "Choose a new password",
        "To choose a new password for your account at Chelar:",
        "",
        link("/reset", token),
        "",
        "The link works once, for an hour. All sessions end when the password changes.",
        "If you did not ask for it, ignore this mail: your password stays as it is.",
      ),
    changed: (to, what) =>
      letter(
        to,
        "Your account has changed",
        `${what}.`,
        "",
        `If it was not you, choose a new password at once: ${origin}/forgot`,
        `Then look through your sessions, passkeys and keys: ${origin}/account`,
      ),
  };
}
