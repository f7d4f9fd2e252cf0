/** mmap(2), read(2) and msync(2) have other numbers on each machine; read(2) is what writes into the mapped pages. */
const [MMAP, READ, MSYNC] = process.arch === "arm64" ? [222, 63, 227] : [9, 0, 26];
const MAPPED = `
  my $mib = 1 << 20;
  open(my $zeros, "<", "/dev/zero") or die "$!\\n";
  open(my $file, "+>", "mapped") or die "$!\\n";
  truncate($file, 128 * $mib) or die "$!\\n";
  my $at = syscall(${MMAP}, 0, 128 * $mib, 3, 1, fileno($file), 0);
  die "$!\\n" if $at == -1;
  for my $n (0 .. 127) {
    die "$!\\n" if syscall(${READ}, fileno($zeros), $at + $n * $mib, $mib) == -1;
    die "$!\\n" if syscall(${MSYNC}, $at + $n * $mib, $mib, 4) == -1;
  }`;

/** Ways to ask for more than is left of a volume, each a command of its agent's that nothing but a refusal ends. */
export const WAYS: readonly { how: string; command: readonly string[] }[] = [
  { how: "fallocate(2)", command: ["fallocate", "--length", "128M", "promised"] },
  {
    how: "a sparse file that is filled",
    command: ["sh", "-ec", "truncate --size 1T sparse; exec dd if=/dev/zero of=sparse bs=1M conv=notrunc"],
  },
  { how: "O_DIRECT", command: ["dd", "if=/dev/zero", "of=direct", "bs=1M", "oflag=direct"] },
  { how: "a file that is mapped into memory", command: ["perl", "-e", MAPPED] },
  {
    // A name of more than 175 letters takes a file of its own below: what fills the volume is names and inodes.
    how: "files without end",
    command: ["sh", "-ec", 'n=0; while :; do : > "$0-$n"; n=$((n + 1)); done', "n".repeat(180)],
  },
];
