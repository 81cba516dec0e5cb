"""Whether a running migration comes to an end: its numbers in words. Pure.

Memory is copied while the guest goes on changing it. When it changes about as fast as the line carries, each round
leaves as much as the one before, and only the migration's own bound (migration.timeout in the spec) ends it: the guest
then stays on its source. The numbers are libvirt's (see Hosts.job): the rate of change is known from the second round
on, and counts a page once in a round, so that it is hardly ever above the line's speed.
"""

from __future__ import annotations

from collections.abc import Mapping

_MIB = 1 << 20
_PAGE = 4096
_HOPELESS = 0.7
"""What part of a round's memory the next one may leave again: from here on a migration takes long, or for ever."""


def changes(job: Mapping[str, int]) -> int:
    """How fast the guest changes memory, in bytes a second; 0 while that is not known."""
    return job.get("memory_dirty_rate", 0) * job.get("memory_page_size", _PAGE)


def outrun(job: Mapping[str, int]) -> bool:
    """Whether the guest changes memory as fast as it is copied."""
    carried = job.get("memory_bps", 0)
    return carried > 0 and changes(job) >= _HOPELESS * carried and job.get("memory_iteration", 0) > 1


def rates(job: Mapping[str, int]) -> str:
    """Both speeds, for a finding; empty when they are not known."""
    if not changes(job) or not job.get("memory_bps"):
        return ""
    throttled = job.get("auto_converge_throttle", 0)
    return f"it changed {changes(job) / _MIB:.0f} MiB/s, the line carried {job['memory_bps'] / _MIB:.0f} MiB/s" + (
        f", its CPUs were slowed by {throttled} %" if throttled else ""
    )


def numbers(job: Mapping[str, int]) -> str:
    """A running migration in numbers: bytes, rate, what remains, expected pause, how fast the guest changes memory."""
    if not job.get("data_total"):
        return ""  # it has only begun, and noughts say nothing
    parts = [f"{job.get('data_processed', 0) / _MIB:.1f} of {job['data_total'] / _MIB:.1f} MiB"]
    if job.get("memory_bps"):
        parts.append(f"{job['memory_bps'] / _MIB:.1f} MiB/s")
    parts.append(f"{job.get('data_remaining', 0) / _MIB:.1f} MiB remaining")
    if changes(job):
        parts.append(f"{changes(job) / _MIB:.1f} MiB/s changed")
    if job.get("auto_converge_throttle"):
        parts.append(f"slowed by {job['auto_converge_throttle']} %")
    if "downtime" in job:
        parts.append(f"pause {job['downtime']} ms")
    return ", ".join(parts)


def percent(job: Mapping[str, int]) -> str:
    """How far a migration is, for a sentence."""
    total, done = job.get("data_total", 0), job.get("data_processed", 0)
    if not total:
        return "starting"
    times = job.get("memory_iteration", 0)
    far = f"round {times}" if times > 1 else f"{min(100, 100 * done // total)} %"  # later rounds copy pages once more
    outran = "; the guest changes memory as fast as it is copied" if outrun(job) else ""
    return f"{far}, {job.get('data_remaining', 0) >> 20} MiB remaining{outran}"
