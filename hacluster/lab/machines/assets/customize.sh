# Turns Debian's packages into a machine that ssh reaches. What makes it this machine and no other (name, addresses,
# machine id) comes from the kernel's command line. $1: the root file system; PUBLIC_KEY, AT_HAND: see image.py.
set -eu
root=$1
in_root() { chroot "$root" "$@"; }

# What a machine can install without a network: the packages with all that they need, and an index of them.
in_root sh -c "apt-get install --yes --download-only --no-install-recommends $AT_HAND"
mkdir -p "$root/srv/packages"
mv "$root"/var/cache/apt/archives/*.deb "$root/srv/packages/"
in_root sh -c 'cd /srv/packages && apt-ftparchive packages . > Packages'
rm -f "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*
echo 'deb [trusted=yes] file:/srv/packages ./' > "$root/etc/apt/sources.list.d/at-hand.list"
in_root apt-get update -qq

install -d -m 700 "$root/root/.ssh"
printf '%s\n' "$PUBLIC_KEY" > "$root/root/.ssh/authorized_keys"
chmod 600 "$root/root/.ssh/authorized_keys"

# Each machine makes a host key of its own at its first boot; one kind of it is enough.
rm -f "$root"/etc/ssh/ssh_host_*
printf 'HostKey /etc/ssh/ssh_host_ed25519_key\nUseDNS no\n' > "$root/etc/ssh/sshd_config.d/machines.conf"
mkdir -p "$root/etc/systemd/system/ssh.service.d"
cat > "$root/etc/systemd/system/ssh.service.d/host-key.conf" <<'UNIT'
[Service]
ExecStartPre=
ExecStartPre=/bin/sh -c 'test -s /etc/ssh/ssh_host_ed25519_key || ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key'
ExecStartPre=/usr/sbin/sshd -t
UNIT

# A Corosync that was never told of a cluster would run one of its own, as Debian's package starts it.
rm -f "$root/etc/corosync/corosync.conf"
in_root systemctl disable corosync pacemaker
in_root systemctl enable systemd-networkd ssh
in_root systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
  e2scrub_reap.service fstrim.timer systemd-tmpfiles-clean.timer systemd-networkd-wait-online.service
# What waits for a cluster or for VMs need not start in an emulated machine: each takes as long as all the rest.
# libvirtd starts at the first question to its socket.
in_root systemctl disable pcsd pcsd-ruby logd libvirt-guests
rm -f "$root/etc/systemd/system/multi-user.target.wants/libvirtd.service"

# An emulated machine takes minutes for what a real one does in seconds.
mkdir -p "$root/etc/systemd/system.conf.d"
printf '[Manager]\nDefaultTimeoutStartSec=300s\nDefaultTimeoutStopSec=120s\n' > "$root/etc/systemd/system.conf.d/slow.conf"

# A power cut takes the disk's last seconds along: what happened then is on the console.
mkdir -p "$root/etc/systemd/journald.conf.d"
printf '[Journal]\nStorage=persistent\nForwardToConsole=yes\nMaxLevelConsole=notice\nTTYPath=/dev/ttyS0\n' \
  > "$root/etc/systemd/journald.conf.d/console.conf"
echo '/dev/vda / ext4 noatime,errors=remount-ro 0 1' > "$root/etc/fstab"
: > "$root/etc/machine-id"
rm -f "$root/etc/hostname" "$root/etc/resolv.conf"
printf '127.0.0.1 localhost\n' > "$root/etc/hosts"
