# Runs as process 1 of a lab node's new namespaces: puts the node's root together, then becomes systemd.
# Arguments: the node's name, its directory, and how many seconds its self-test takes. Reads `binds` (source, target, ro|rw) and `devices`
# (path, type, major, minor) there. It may touch nothing outside that directory.
set -e
name=$1
here=$2
root=$here/root

hostname "$name"
mkdir -p "$root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$here/upper,workdir=$here/work" "$root"

# The kernel is shared with the whole machine: a node may not change it, nor reboot it by SysRq (Pacemaker's panic).
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
mount -o remount,bind,ro "$root/proc/sys"
if [ -e "$root/proc/sysrq-trigger" ]; then mount --bind /dev/null "$root/proc/sysrq-trigger"; fi
# Each boot of a node is a boot of its own, to journald as to the guard.
cat /proc/sys/kernel/random/uuid >"$here/boot_id"
mount --bind "$here/boot_id" "$root/proc/sys/kernel/random/boot_id"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
# A host with a hybrid hierarchy has a plain tmpfs here; sysfs in a new namespace shows the empty mount point.
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"

mount -t tmpfs -o mode=755,size=16m tmpfs "$root/dev"
while read -r path kind major minor; do
    mkdir -p "$root${path%/*}"
    mknod -m 0666 "$root$path" "$kind" "$major" "$minor"
done <"$here/devices"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
ln -s pts/ptmx "$root/dev/ptmx"
mkdir -p "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777,size=1g tmpfs "$root/dev/shm"
mount -t mqueue mqueue "$root/dev/mqueue"
mount -t tmpfs -o mode=755,size=256m tmpfs "$root/run"
mkdir -p "$root/run/lock"
mount -t tmpfs -o mode=1777,size=1g tmpfs "$root/tmp"

while read -r source target mode; do
    mkdir -p "$root$target"
    mount --bind "$source" "$root$target"
    if [ "$mode" = ro ]; then mount -o remount,bind,ro "$root$target"; fi
done <"$here/binds"

cd "$root"
mkdir -p .host
pivot_root . .host
umount -l /.host
rmdir /.host
# Only here, where this machine's own root is out of sight: somebody may enter the node meanwhile.
sleep "${3:-0}"
export container=hacluster-lab
exec </dev/null
exec /lib/systemd/systemd --system --show-status=0 --log-target=journal
