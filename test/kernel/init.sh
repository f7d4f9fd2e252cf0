#!/bin/busybox sh
# Process 1 of the tests' own kernel. Its root is this machine's own, read-only; whatever is written stays in memory.
# SCRIPT, MODULES and the script's own variables come from the kernel's command line. What the script prints goes out by
# the second serial line, and as its last line how it ended; the first is the kernel's own.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
exec >/dev/ttyS0 2>&1 </dev/null
for module in /modules/*; do insmod "$module"; done

mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=1048576,cache=loose machine /machine
mount -t tmpfs memory /memory
mkdir /memory/written /memory/work
mount -t overlay -o lowerdir=/machine,upperdir=/memory/written,workdir=/memory/work root /root
cd /root
mount -t proc proc proc
mount -t sysfs sys sys
mount -t cgroup2 cgroup sys/fs/cgroup
for directory in run tmp; do mount -t tmpfs -o mode=1777 memory "$directory"; done
mkdir -p lib/modules
ln -s "$MODULES" "lib/modules/$(uname -r)"
# This machine's own refusals would be the defence that the test believes it has taken away.
rm -rf etc/modprobe.d/*
mount --move /dev dev
mkdir -p dev/shm; mount -t tmpfs memory dev/shm

cat > run/first <<'RUN'
ip link set lo up
stty -F /dev/ttyS1 raw
/bin/sh "$SCRIPT" > /dev/ttyS1
echo "ended with $?" > /dev/ttyS1
busybox poweroff -f
RUN
exec switch_root /root /bin/sh /run/first
