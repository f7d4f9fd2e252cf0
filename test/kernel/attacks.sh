#!/bin/sh
# The fourth wall's attacks on a kernel that has what they are after: AF_ALG and kexec and modules. Below $BUNDLES is each
# container as dockerd handed it to runc. Prints the attackers' lines under a heading for each trial.
set -e
attack() {
  echo "== $1"
  runc run --bundle "$BUNDLES/$2" "$2"
}
by_root() {
  echo "== $1"
  perl -e "$(cat "$BUNDLES/attacker.pl")" attempt "$(cat "$BUNDLES/by-root")"
}

attack loose tenant
by_root loose-modules
echo "== loose-config"
modprobe --showconfig | grep ^install || true
cat /proc/modules
attack kexec kexec
attack load-module load-module

# What bootstrap does to a server, with what it did not come in time for.
cp "$BUNDLES/modprobe.conf" /etc/modprobe.d/chelar.conf
for module in $(cat "$BUNDLES/blocked"); do rmmod "$module" || true; done
attack blocked tenant
by_root blocked-modules
echo "== blocked-config"
modprobe --showconfig | grep ^install
cat /proc/modules
