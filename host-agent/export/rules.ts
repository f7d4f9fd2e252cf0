import type { RuntimeName } from "../../schema/protocol/index.ts";

/** Whoever unpacks it as root gets the files as the first user of most systems, and of the official images. */
const OWNER = "1000";
export const README = "README.txt";

/**
 * What is in the archive: files, directories and links as links, so that none is followed, now or later. No sockets,
 * pipes or devices. Names go to tar ended by NUL, since they may hold anything else.
 */
export const FIND = [".", "-mindepth", "1", "(", "-type", "f", "-o", "-type", "d", "-o", "-type", "l", ")", "-print0"];

/** `notes`: a directory with the README; `files`: the agent's own. All of theirs ends up below `data/`. */
export const tarArguments = ({ notes, files }: { notes: string; files: string }): string[] => [
  "--create",
  "--format=posix",
  // Its UID on this server says nothing elsewhere, and is nobody else's business.
  ...["--numeric-owner", `--owner=${OWNER}`, `--group=${OWNER}`],
  // A file of nothing but holes is as long as it says; what is sent is what is there.
  "--sparse",
  // S: what a link points to stays as it is.
  "--transform=s/^\\./data/S",
  ...["--directory", notes, README],
  // A name that begins with a hyphen is a name and no option.
  ...["--directory", files, "--no-recursion", "--null", "--verbatim-files-from", "--files-from=-"],
];

const OPENCLAW = `To go on with it under an OpenClaw of your own (https://docs.openclaw.ai/install):

  1. Install OpenClaw and stop it:            openclaw gateway stop
  2. Put its state where OpenClaw looks:      cp -a data/.openclaw ~/.openclaw
     In a container, mount data/ at the home of its user and set OPENCLAW_STATE_DIR to data/.openclaw.
  3. Enter your keys again:                   openclaw configure
  4. Start it:                                openclaw gateway start

The configuration that the platform wrote (its proxy, its walls) is not part of this: it makes no sense elsewhere.
`;

export const readmeOf = (
  name: string,
  runtime: RuntimeName,
  at: Date,
): string => `All files of the agent ${name}, as they were at ${at.toISOString()}.

They are in data/, which was /data in its container. Links are links: look at one before you follow it. Your keys
(of model providers and channels) are not in here, unless the agent itself wrote one into a file.

${runtime === "openclaw" ? OPENCLAW : ""}`;
