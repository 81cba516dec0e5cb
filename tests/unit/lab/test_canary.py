"""What a counting disk proves: every hand-made second writer is found, and none where there was one copy at a time."""

import re
import struct
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from hacluster.lab import guest
from hacluster.lab.canary import PERIOD_MS, Canary, NotACountingDisk, Record, judge

RING, SLOTS, VIOLATIONS, REPORTS = 8, 50, 2, 6
BIOS_TICKS = 1193182 / 65536  # a second


@dataclass
class Disk:
    """A counting disk in memory, small, with the writer the guest is."""

    records: dict[int, Record] = field(default_factory=dict)
    reports: list[bytes] = field(default_factory=list)

    def write(self, boot: int, counter: int, previous: Record | None, nonce: int | None = None) -> Record:
        record = Record(boot, counter, nonce or counter * 1000 + boot, previous.nonce if previous else 0, 0)
        self.records[counter % SLOTS] = record
        return record

    def count(self, boot: int, first: int, last: int, previous: Record | None = None) -> Record:
        for counter in range(first, last + 1):
            previous = self.write(boot, counter, previous)
        assert previous is not None
        return previous

    def image(self) -> bytes:
        disk = bytearray(512 * (RING + SLOTS))
        disk[4:12] = b"HACOUNT1"
        struct.pack_into("<4I", disk, 12, RING, SLOTS, VIOLATIONS, REPORTS)
        for slot, r in self.records.items():
            struct.pack_into(
                "<8sQQQQI", disk, (RING + slot) * 512, b"HACTREC1", r.boot, r.counter, r.nonce, r.previous, r.ticks
            )
        for number, report in enumerate(self.reports):
            start = (VIOLATIONS + number) * 512
            disk[start : start + len(report)] = report
        return bytes(disk)

    def kinds(self) -> set[str]:
        return {finding.kind for finding in judge(self.image()).findings}


def test_an_unused_disk_is_clean() -> None:
    report = judge(Disk().image())
    assert (report.last, report.boots, report.clean) == (0, (), True)


@pytest.mark.parametrize("last", [1, 49, 50, 51, 99, 100, 101, 777])
def test_one_copy_is_clean_at_any_place_of_the_ring(last: int, tmp_path: Path) -> None:
    disk = Disk()
    disk.count(7, 1, last)
    (tmp_path / "disk").write_bytes(disk.image())
    assert Canary(tmp_path / "disk").last() == last
    report = judge(disk.image())
    assert (report.last, report.clean, len(report.boots)) == (last, True, 1)


def test_a_copy_that_was_started_again_is_clean() -> None:
    disk = Disk()
    disk.count(8, 21, 40, disk.count(7, 1, 20))
    assert [(boot.boot, boot.first, boot.last) for boot in judge(disk.image()).boots] == [(7, 1, 20), (8, 21, 40)]
    assert disk.kinds() == set()


def test_a_record_that_another_boot_overwrote_breaks_the_chain() -> None:
    disk = Disk()
    seventeen = disk.count(7, 1, 17)
    disk.count(7, 18, 30, seventeen)
    disk.write(8, 18, seventeen, nonce=4711)
    assert disk.kinds() == {"chain", "interleaved"}


def test_two_copies_with_one_boot_id_break_the_chain() -> None:
    disk = Disk()
    ten = disk.count(7, 1, 10)
    mine = disk.write(7, 11, ten, nonce=1)
    disk.write(7, 11, ten, nonce=2)
    disk.count(7, 12, 20, mine)
    assert disk.kinds() == {"chain"}


def test_a_copy_that_fell_behind_and_went_on_leaves_its_boot_twice() -> None:
    disk = Disk()
    ten = disk.count(7, 1, 10)
    disk.count(8, 11, 30, ten)
    disk.count(7, 11, 15, ten)
    assert disk.kinds() == {"chain"}
    disk.write(8, 12, disk.records[11])
    assert disk.kinds() == {"chain", "interleaved"}


def test_a_hole_is_found() -> None:
    disk = Disk()
    disk.count(7, 1, 70)
    disk.records[66 % SLOTS] = replace(disk.records[66 % SLOTS], counter=16)
    assert disk.kinds() == {"gap"}


def test_something_that_is_no_record_is_found() -> None:
    disk = Disk()
    disk.count(7, 1, 10)
    image = bytearray(disk.image())
    image[(RING + 30) * 512 + 100] = 1
    assert {finding.kind for finding in judge(bytes(image)).findings} == {"garbage"}


def test_a_record_in_a_slot_that_is_not_its_own_is_found() -> None:
    disk = Disk()
    disk.count(7, 1, 10)
    disk.records[30] = disk.records[5]
    assert disk.kinds() == {"garbage"}


def test_what_the_guest_reported_is_a_finding_that_says_who() -> None:
    disk = Disk()
    disk.count(7, 1, 10)
    report = bytearray(512)
    struct.pack_into("<8sQQIIQI", report, 0, b"HACTVIO1", 7, 10, 2, RING + 11, 0, 0)
    struct.pack_into("<8sQQQQI", report, 256, b"HACTREC1", 9, 11, 1, 1, 0)
    disk.reports.append(bytes(report))
    (finding,) = judge(disk.image()).findings
    assert finding.kind == "violation"
    assert "boot 0000000000000007 after record 10" in finding.text
    assert "record 11 of boot 0000000000000009" in finding.text


def test_another_disk_is_not_judged(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(bytes(4096))
    with pytest.raises(NotACountingDisk):
        Canary(tmp_path / "disk").check()


def test_the_period_is_the_guests() -> None:
    told = re.search(r"^\.set TICKS, (\d+)", guest.SOURCE.read_text(), re.MULTILINE)
    assert told is not None
    assert round(int(told[1]) / BIOS_TICKS * 1000) == PERIOD_MS


def test_a_watch_measures_the_longest_time_without_a_record(tmp_path: Path) -> None:
    import time

    disk = Disk()
    last = disk.count(7, 1, 5)
    path = tmp_path / "disk"
    path.write_bytes(disk.image())
    with Canary(path).watch() as watcher:
        for pause in (0.05, 0.3, 0.05):
            time.sleep(pause)
            last = disk.write(7, last.counter + 1, last)
            with path.open("r+b") as file:
                file.write(disk.image())
    assert (watcher.result.before, watcher.result.after) == (5, 8)
    assert 250 < watcher.result.gap_ms < 400
