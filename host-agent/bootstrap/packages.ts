/** What a host calls by name, and the Debian package that brings it. */
export const HOST_PROGRAMS: Readonly<Record<string, string>> = {
  dockerd: "docker.io",
  docker: "docker.io",
  iptables: "iptables",
  ip6tables: "iptables",
  ip: "iproute2",
  caddy: "caddy",
  debootstrap: "debootstrap",
  tar: "tar",
  mount: "mount",
  gocryptfs: "gocryptfs",
  fusermount3: "fuse3",
  btrfs: "btrfs-progs",
  "mkfs.btrfs": "btrfs-progs",
  losetup: "mount",
  restic: "restic",
  sysctl: "procps",
  perl: "perl-base",
};
export const HOST_FILES: Readonly<Record<string, string>> = {
  "/bin/busybox": "busybox-static",
  "/etc/ssl/certs/ca-certificates.crt": "ca-certificates",
};

/** What only a server of our own needs: its firewall is ours to manage. */
const SERVER_PACKAGES = ["ufw"];

/** Everything that is installed on a server, once each, sorted. */
export const SERVER_PACKAGE_LIST: readonly string[] = [
  ...new Set([...Object.values(HOST_PROGRAMS), ...Object.values(HOST_FILES), ...SERVER_PACKAGES]),
].sort();
