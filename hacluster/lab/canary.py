"""Reads what the counting guest wrote on its disk, and tells from the disk alone whether a second copy ever wrote.

The guest (guest/counter.S says the format) leaves a ring of records, each bound to the one before by its nonce, and
reports of what it found to be somebody else's. Here both are judged: a disk that one copy at a time has written,
however often that copy was killed, moved or started anew, has no finding; anything else has one. This module only
reads.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

SECTOR = 512
PROGRAM = b"HACOUNT1"
RECORD = struct.Struct("<8sQQQQI")
VIOLATION = struct.Struct("<8sQQIIQI")
KINDS = {1: "its last record had been overwritten", 2: "its next place had been written already"}
PERIOD_MS = 110
"""From one record of a running guest to the next: two ticks of the BIOS's clock, which are 54.9 ms each."""
SEARCH = 20
"""Looks without a newer record after which a follower searches the whole ring."""
SAMPLE = 0.015
"""Seconds between two looks of a watch."""


class NotACountingDisk(Exception):
    """The disk does not begin with the counting guest's program."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Where things are on the disk, in sectors; the guest's first sector says it."""

    ring: int
    slots: int
    violations: int
    reports: int


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the ring. `previous` is the nonce of the record before it, `ticks` the guest's BIOS clock."""

    boot: int
    counter: int
    nonce: int
    previous: int
    ticks: int


@dataclass(frozen=True, slots=True)
class Violation:
    """What a copy of the guest reported: which copy, after which counter, what kind, in which sector, and whose it was.

    `found_boot` and `found_counter` are of the record it found there, None when that was no record.
    """

    boot: int
    counter: int
    kind: int
    sector: int
    found_boot: int | None
    found_counter: int | None


@dataclass(frozen=True, slots=True)
class Boot:
    """A run of records with one boot id: first and last counter."""

    boot: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One sign of a second writer. `kind` is violation, garbage, gap, chain or interleaved."""

    kind: str
    counter: int
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """The judgement of a disk. `last` is the newest counter, 0 on a disk that was never written."""

    last: int
    records: int
    boots: tuple[Boot, ...]
    findings: tuple[Finding, ...]

    @property
    def clean(self) -> bool:
        """True when nothing speaks of a second writer."""
        return not self.findings


@dataclass(frozen=True, slots=True)
class Watch:
    """What was seen during a watch: newest counter before and after, and the longest time without a new record.

    `gap_ms` also counts the time from the last record to the end of the watch. A running guest writes every PERIOD_MS.
    """

    before: int
    after: int
    gap_ms: float
    resolution_ms: float


class Canary:
    """The counting guest's disk at `path`, seen from the machine that runs the lab.

    For a block disk the loop device is the path: reads go past the page cache where the file system allows it, so
    that what is seen is what is stored. Raises OSError when the disk cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def last(self) -> int:
        """The newest counter, 0 when there is none; found as the guest itself finds it. Raises NotACountingDisk."""
        with self._open() as disk:
            return disk.newest(disk.shape())

    def check(self) -> Report:
        """Judge the whole disk. Raises NotACountingDisk."""
        with self._open() as disk:
            return judge(disk.all())

    @contextlib.contextmanager
    def watch(self) -> Iterator[Watcher]:
        """Watch the counter while the block runs; afterwards the watcher's `result` holds what was seen."""
        watcher = Watcher(self)
        watcher.start()
        try:
            yield watcher
        finally:
            watcher.stop()

    def follow(self) -> Follower:
        """Follow the counter for as long as one likes. Raises NotACountingDisk, OSError."""
        return Follower(self)

    @contextlib.contextmanager
    def _open(self) -> Iterator[_Disk]:
        disk = _Disk(self.path)
        try:
            yield disk
        finally:
            disk.close()


class Follower:
    """Looks at the place of the next record whenever it is asked. `boot` is the boot id of the newest record, or 0."""

    def __init__(self, canary: Canary) -> None:
        self._disk = _Disk(canary.path)
        self._shape = self._disk.shape()
        self._idle = 0
        self._goto(self._disk.newest(self._shape))

    def _goto(self, counter: int) -> None:
        self.counter = counter
        read = self._disk.record(self._shape, counter)
        self.boot = read.boot if read is not None else 0

    def advance(self) -> bool:
        """Whether there is a newer record than at the last look."""
        before = self.counter
        while (read := self._disk.record(self._shape, self.counter + 1)) and read.counter == self.counter + 1:
            self.counter, self.boot = read.counter, read.boot
        self._idle = 0 if self.counter > before else self._idle + 1
        if self._idle >= SEARCH:
            # A copy that did not go on from here has left a hole that looking one ahead cannot cross.
            self._idle = 0
            newest = self._disk.newest(self._shape)
            if newest > self.counter:
                self._goto(newest)
        return self.counter > before

    def close(self) -> None:
        """Let go of the disk."""
        self._disk.close()


class Watcher(threading.Thread):
    """Looks at the place of the next record every SAMPLE seconds."""

    def __init__(self, canary: Canary) -> None:
        super().__init__(daemon=True)
        self._canary = canary
        self._ended = threading.Event()
        self._began = threading.Event()
        self._result: Watch | None = None

    @property
    def result(self) -> Watch:
        """What was seen. Only after the watch has ended."""
        if self._result is None:
            raise ValueError("the watch has not ended")
        return self._result

    def start(self) -> None:
        """Begin; returns when the first look has been taken."""
        super().start()
        self._began.wait(10)

    def stop(self) -> None:
        """End the watch."""
        self._ended.set()
        self.join(10)

    def run(self) -> None:
        """The watch itself; runs in a thread of its own."""
        with self._canary._open() as disk:
            shape = disk.shape()
            before = after = disk.newest(shape)
            seen = looked = time.monotonic()
            longest = slowest = 0.0
            self._began.set()
            while not self._ended.wait(SAMPLE):
                now = time.monotonic()
                slowest, looked = max(slowest, now - looked), now
                while (record := disk.record(shape, after + 1)) is not None and record.counter == after + 1:
                    after += 1
                    longest, seen = max(longest, now - seen), now
            longest = max(longest, time.monotonic() - seen)
            # A copy that did not go on from here has left a hole that looking one ahead cannot cross.
            after = max(after, disk.newest(shape))
        self._result = Watch(before, after, longest * 1000, slowest * 1000)


class _Disk:
    """An open disk, read past the page cache if that can be had."""

    def __init__(self, path: Path) -> None:
        try:
            self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.sector = mmap.mmap(-1, mmap.PAGESIZE)

    def close(self) -> None:
        os.close(self.fd)
        self.sector.close()

    def read(self, sector: int) -> bytes:
        view = memoryview(self.sector)[:SECTOR]
        got = os.preadv(self.fd, [view], sector * SECTOR)
        view.release()
        return self.sector[:got]

    def all(self) -> bytes:
        size = os.lseek(self.fd, 0, os.SEEK_END)
        with mmap.mmap(-1, size) as whole:
            done = 0
            while done < size:
                view = memoryview(whole)[done:]
                got = os.preadv(self.fd, [view], done)
                view.release()
                if got <= 0:
                    break
                done += got
            return whole[:done]

    def shape(self) -> Shape:
        return shape(self.read(0))

    def newest(self, form: Shape) -> int:
        """The ring is in order but for one place, so the newest record is found by halving."""
        lap = self.counter(form, 0)
        new, old = 0, form.slots
        while old - new > 1:
            middle = (new + old) // 2
            if self.counter(form, middle) == lap + middle:
                new = middle
            else:
                old = middle
        return lap + new

    def counter(self, form: Shape, slot: int) -> int:
        found = record(self.read(form.ring + slot))
        return 0 if found is None else found.counter

    def record(self, form: Shape, counter: int) -> Record | None:
        return record(self.read(form.ring + counter % form.slots))


def shape(first_sector: bytes) -> Shape:
    """Where things are, from the disk's first sector. Raises NotACountingDisk."""
    if first_sector[4:12] != PROGRAM:
        raise NotACountingDisk
    ring_start, slots, violations, reports = struct.unpack_from("<4I", first_sector, 12)
    return Shape(ring_start, slots, violations, reports)


def record(sector: bytes) -> Record | None:
    """The record in a sector, None when it holds none."""
    if len(sector) < RECORD.size:
        return None
    magic, boot, counter, nonce, previous, ticks = RECORD.unpack_from(sector)
    return Record(boot, counter, nonce, previous, ticks) if magic == b"HACTREC1" else None


def ring(form: Shape, disk: bytes) -> dict[int, Record]:
    """All records of a disk by their slot."""
    found = {}
    for slot in range(form.slots):
        start = (form.ring + slot) * SECTOR
        if disk[start : start + 8] == b"HACTREC1":
            read = record(disk[start : start + SECTOR])
            assert read is not None
            found[slot] = read
    return found


def violations(form: Shape, disk: bytes) -> Iterator[Violation]:
    """What the copies of the guest reported, in order."""
    for number in range(form.reports):
        start = (form.violations + number) * SECTOR
        magic, boot, counter, kind, sector, _, _ = VIOLATION.unpack_from(disk, start)
        if magic != b"HACTVIO1":
            continue
        found = record(disk[start + 256 : start + SECTOR])
        yield Violation(
            boot, counter, kind, sector, None if found is None else found.boot, None if found is None else found.counter
        )


def judge(disk: bytes) -> Report:
    """Everything that the disk says about who wrote it. Raises NotACountingDisk."""
    form = shape(disk[:SECTOR])
    records = ring(form, disk)
    newest = max((read.counter for read in records.values()), default=0)
    by_counter = {
        counter: records[counter % form.slots]
        for counter in range(max(1, newest - form.slots + 1), newest + 1)
        if counter % form.slots in records and records[counter % form.slots].counter == counter
    }
    ordered = [by_counter[counter] for counter in sorted(by_counter)]
    boots = tuple(
        Boot(boot, run[0].counter, run[-1].counter)
        for boot, run in ((boot, list(run)) for boot, run in groupby(ordered, key=lambda read: read.boot))
    )
    findings = [
        *_violation_findings(form, disk),
        *_garbage(form, disk, records),
        *_gaps(newest, form, by_counter),
        *_chain(ordered),
        *_interleaved(boots),
    ]
    return Report(newest, len(records), boots, tuple(findings))


def _violation_findings(form: Shape, disk: bytes) -> Iterator[Finding]:
    for seen in violations(form, disk):
        other = "something that is no record"
        if seen.found_counter is not None and seen.found_boot is not None:
            other = f"record {seen.found_counter} of boot {seen.found_boot:016x}"
        yield Finding(
            "violation",
            seen.counter,
            f"boot {seen.boot:016x} after record {seen.counter}: {KINDS.get(seen.kind, '?')}; it found {other}",
        )


def _garbage(form: Shape, disk: bytes, records: Mapping[int, Record]) -> Iterator[Finding]:
    blank = bytes(SECTOR)
    for slot in range(form.slots):
        start = (form.ring + slot) * SECTOR
        if slot in records:
            if records[slot].counter % form.slots != slot:
                yield Finding("garbage", records[slot].counter, f"slot {slot} holds record {records[slot].counter}")
        elif disk[start : start + SECTOR] != blank:
            yield Finding("garbage", 0, f"slot {slot} holds something that is no record")


def _gaps(newest: int, form: Shape, by_counter: Mapping[int, Record]) -> Iterator[Finding]:
    missing = [c for c in range(max(1, newest - form.slots + 1), newest + 1) if c not in by_counter]
    for _, run in groupby(enumerate(missing), key=lambda pair: pair[1] - pair[0]):
        counters = [counter for _, counter in run]
        yield Finding("gap", counters[0], f"records {counters[0]} to {counters[-1]} are missing")


def _chain(ordered: Sequence[Record]) -> Iterator[Finding]:
    for one, other in pairwise(ordered):
        if other.counter == one.counter + 1 and other.previous != one.nonce:
            yield Finding(
                "chain",
                other.counter,
                f"record {other.counter} (boot {other.boot:016x}) followed another record {one.counter} than the one "
                f"that is there (boot {one.boot:016x})",
            )


def _interleaved(boots: Sequence[Boot]) -> Iterator[Finding]:
    seen: set[int] = set()
    for boot in boots:
        if boot.boot in seen:
            yield Finding(
                "interleaved", boot.first, f"boot {boot.boot:016x} wrote again after another boot had written"
            )
        seen.add(boot.boot)
