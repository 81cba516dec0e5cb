"""The packages of a cluster host. Daemons that they bring are not started: the steps after this one do, in order."""

from __future__ import annotations

from dataclasses import dataclass

from hacluster.bootstrap import distributions
from hacluster.bootstrap.changes import Change, CommandChange, file_change
from hacluster.bootstrap.host import Host
from hacluster.bootstrap.steps import Looked, Site

POLICY = "/usr/sbin/policy-rc.d"
"""What Debian asks before it starts a daemon that a package brings (invoke-rc.d(8))."""

_MARK = "hactl node bootstrap"

# Debian would start a corosync of its own default configuration, and a Pacemaker upon it: a cluster of one machine.
_INSTALL = f"""
set -eu
if [ ! -e {POLICY} ]; then
  trap 'rm -f {POLICY}' EXIT
  trap 'exit 1' HUP INT TERM
  printf '#!/bin/sh\\n# {_MARK}: nothing is started while packages are installed\\nexit 101\\n' > {POLICY}
  chmod 755 {POLICY}
fi
export DEBIAN_FRONTEND=noninteractive
dpkg --configure -a
apt-get -qq update
apt-get -qq -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold install --no-install-recommends "$@"
"""


@dataclass(frozen=True, slots=True)
class Packages:
    """The step."""

    name: str = "packages"
    title: str = "packages"
    together: bool = True

    def look(self, site: Site) -> Looked:
        """As Step.look."""
        wanted = distributions.needs(site.cluster)
        answers = site.each(lambda host: _missing(host, wanted))
        return Looked(tuple(change for changes in answers.values() for change in changes))


def _missing(host: Host, wanted: tuple[str, ...]) -> tuple[Change, ...]:
    release = (host.read("/etc/os-release") or b"").decode(errors="replace")
    distribution = distributions.of_release(release)
    if distribution is None or not distribution.tried:
        return ()  # Machines has said so
    names = distributions.packages(distribution, wanted)
    done = host.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\\n", *names])
    told = dict(line.split() for line in done.out.decode(errors="replace").splitlines() if len(line.split()) == 2)
    missing = tuple(name for name in names if told.get(name) != "installed")
    left = host.read(POLICY)
    changes: tuple[Change, ...] = ()
    if left is not None and _MARK.encode() in left:  # an installation was killed
        changes += file_change(host.name, POLICY, left, None)
    if missing:
        argv = ("sh", "-c", _INSTALL, "apt-get install", *missing)
        changes += (CommandChange(host.name, argv, f"{len(missing)} packages, none started", deadline=1800.0),)
    return changes
