"""What is written down is read back whole, and what is damaged, another VM's or another boot's is not believed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from hacluster.guard import VERSION, state
from hacluster.guard.dlm import CR, EX, NL, PW
from hacluster.guard.state import State

UUID = "6f3b1d52-6d0b-4c52-9a52-0d5be9d7a001"
OTHER = "6f3b1d52-6d0b-4c52-9a52-0d5be9d7a002"
BOOT = "00000000-1111-2222-3333-444444444444"
NONCE = "0123456789abcdef"
NOBODY = 4194305
"""A pid that no process can have: one more than the kernel's highest."""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The node's own directory of records, for calls that name none."""
    monkeypatch.setattr(state, "RUN", str(tmp_path / "run"))
    return tmp_path / "run"


@pytest.fixture
def elsewhere(tmp_path: Path) -> str:
    """A directory that a call names: nothing of the node's own may be mixed with it."""
    return str(tmp_path / "elsewhere")


# ---- files


def test_records_lie_where_hook_agent_and_operator_look_and_end_with_the_boot() -> None:
    assert state.path(UUID, ".qemu") == f"/run/hacluster/vm/{UUID}.qemu"
    assert state.LOCKSPACE == "/run/hacluster/lockspace"


def test_a_sentence_with_an_equals_sign_is_read_back(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    state.write_pairs(path, {"sentence": "dlm=none is no lock manager", "action": "start"})
    assert state.read_pairs(path) == {"sentence": "dlm=none is no lock manager", "action": "start"}


def test_records_are_for_root_only(tmp_path: Path) -> None:
    state.write_pairs(str(tmp_path / "vm" / "file"), {})
    assert (tmp_path / "vm").stat().st_mode & 0o777 == 0o700


def test_a_record_is_replaced_in_one_step_and_two_writers_do_not_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rename within a directory is one step; a half-written file of one process must not be renamed by another."""
    path, renamed, real = str(tmp_path / "file"), [], os.rename
    state.write_pairs(path, {"mode": "EX"})

    def rename(source: str, target: str) -> None:
        renamed.append(source)
        assert state.read_pairs(path) == {"mode": "EX"}
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    state.write_pairs(path, {"mode": "PW"})
    assert state.read_pairs(path) == {"mode": "PW"}
    monkeypatch.setattr(os, "getpid", lambda: NOBODY)
    monkeypatch.setattr(os, "rename", lambda source, target: renamed.append(source))
    state.write_pairs(path, {"mode": "EX"})
    mine, others = renamed
    assert mine != others
    assert {Path(mine).parent, Path(others).parent} == {tmp_path}


def test_what_is_removed_is_gone_and_need_not_have_been_there(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    state.write_pairs(path, {"mode": "EX"})
    state.remove(path)
    state.remove(path)
    assert state.read_pairs(path) is None


# ---- the claim


def test_a_claim_is_read_back_whole(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1795169937.9)
    state.write(UUID, State(CR, NONCE, "n2", handed=True))
    claim = state.read(UUID)
    assert (claim.mode, claim.nonce, claim.target, claim.since) == (CR, NONCE, "n2", 1795169937)
    assert claim.handed
    state.write(UUID, State(EX))
    claim = state.read(UUID)
    assert (claim.mode, claim.nonce, claim.target, claim.handed) == (EX, "", "", False)


def test_a_record_says_the_same_to_people_and_to_another_version(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1795169937.9)
    state.write(UUID, State(PW, NONCE, "n2"))
    assert (run / UUID).read_text() == (
        f"mode=PW\nnonce={NONCE}\ntarget=n2\nboot={state.boot_id()}\nsince=1795169937\nhanded=no\n"
    )


def test_without_a_record_nothing_is_claimed(run: Path) -> None:
    claim = state.read(UUID)
    assert (claim.mode, claim.nonce, claim.since, claim.handed) == (NL, "", 0, False)


@pytest.mark.parametrize("mode", ["", "XX", "sealed"])
def test_a_mode_that_is_none_claims_nothing(run: Path, mode: str) -> None:
    state.write_pairs(state.path(UUID), {"mode": mode, "boot": state.boot_id()})
    assert state.read(UUID).mode == NL


def test_a_claim_whose_age_cannot_be_read_is_still_a_claim(run: Path) -> None:
    state.write_pairs(state.path(UUID), {"mode": "EX", "boot": state.boot_id(), "since": "yesterday"})
    assert (state.read(UUID).mode, state.read(UUID).since) == (EX, 0)


@pytest.mark.parametrize(("mode", "expected"), [(EX, True), (PW, False), (CR, False), (NL, False)])
def test_only_ex_is_sealed(run: Path, mode: int, expected: bool) -> None:
    assert not state.sealed(UUID)
    state.write(UUID, State(mode))
    assert state.sealed(UUID) is expected


def test_what_goes_with_the_lock_and_what_stays(run: Path) -> None:
    """An old QEMU's pid, an old move's word or announcement must not be met by the next start or arrival."""
    go = ["", ".qemu", ".incoming", ".ended", ".waits"]
    stay = [".failed", ".starting", ".moving"]
    for uuid in (UUID, OTHER):
        for suffix in go + stay:
            state.write_pairs(state.path(uuid, suffix), {})
    state.forget(UUID)
    left = {path.name for path in run.iterdir()}
    assert left == {f"{UUID}{suffix}" for suffix in stay} | {f"{OTHER}{suffix}" for suffix in go + stay}


def test_what_is_known_are_the_claims_and_nothing_beside_them(run: Path, elsewhere: str) -> None:
    assert state.known() == state.known(elsewhere) == ()
    for uuid in (OTHER, UUID):
        for suffix in ("", ".qemu", ".lock"):
            state.write_pairs(state.path(uuid, suffix), {})
    (run / ("x" * len(UUID))).touch()
    (run / f"{UUID}.17~").touch()
    assert state.known() == (UUID, OTHER)
    state.write(OTHER, State(EX), elsewhere)
    assert state.known(elsewhere) == (OTHER,)


def test_failures_are_shown_by_vm(run: Path, elsewhere: str) -> None:
    assert state.failures() == state.failures(elsewhere) == {}
    state.write_pairs(state.path(UUID, ".failed"), {"sentence": "no"})
    state.write_pairs(state.path(OTHER, ".failed"), {})
    state.write_pairs(state.path(OTHER), {"mode": "EX"})
    assert state.failures() == {UUID: {"sentence": "no"}}
    third = OTHER.replace("002", "003")
    state.write_pairs(state.path(third, ".failed", elsewhere), {"sentence": "neither"})
    assert state.failures(elsewhere) == {third: {"sentence": "neither"}}


def test_a_uuid_is_compared_as_libvirt_writes_it() -> None:
    assert state.lower_case_uuid(f" {UUID.upper()}\n") == UUID


# ---- processes and markers


def test_a_processs_name_does_not_shift_its_start(tmp_path: Path) -> None:
    """A name may hold brackets and spaces; a wrong start time makes a living QEMU one that has ended."""
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "stat").write_text("7 (qemu) S (x) Z " + " ".join(str(field) for field in range(4, 53)))
    assert state.process_start(7, str(tmp_path)) == ("Z", 22)
    assert state.process_start(8, str(tmp_path)) is None
    mine = state.process_start(os.getpid())
    assert mine is not None
    assert mine[1] > 0


def test_a_process_that_ends_while_it_is_looked_at_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ends(*_arguments: object, **_named: object) -> object:
        raise ProcessLookupError

    monkeypatch.setattr("builtins.open", ends)
    assert state.process_start(7, str(tmp_path)) is None


def test_a_marker_names_its_process_and_not_the_next_one_with_its_pid(run: Path) -> None:
    mine = state.process_start(os.getpid())
    assert mine is not None
    state.mark(UUID, ".agent", os.getpid())
    pairs = state.read_pairs(state.path(UUID, ".agent"))
    assert pairs is not None
    assert (pairs["pid"], pairs["start"]) == (str(os.getpid()), str(mine[1]))
    assert state.in_flight(UUID, ".agent")
    state.write_pairs(state.path(UUID, ".agent"), {**pairs, "start": str(mine[1] - 1)})
    assert not state.in_flight(UUID, ".agent")


def test_a_marker_of_a_process_that_has_gone_already_names_nobody(run: Path) -> None:
    state.mark(UUID, ".agent", NOBODY)
    pairs = state.read_pairs(state.path(UUID, ".agent"))
    assert pairs is not None
    assert (pairs["pid"], pairs["start"]) == (str(NOBODY), "0")
    assert not state.in_flight(UUID, ".agent")


def test_a_marker_lasts_as_long_as_it_says(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that ended at once would let a second start begin beside the first."""
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    state.mark(UUID, ".starting", os.getpid(), lifetime=60.0)
    monkeypatch.setattr(time, "monotonic", lambda: 1059.0)
    assert state.in_flight(UUID, ".starting")
    monkeypatch.setattr(time, "monotonic", lambda: 1061.0)
    assert not state.in_flight(UUID, ".starting")


def test_the_grace_of_a_dead_libvirtd_is_over_after_a_while(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    state.mark(UUID, ".starting", NOBODY)
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0 + state.GRACE - 1)
    assert state.in_flight(UUID, ".starting")
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0 + state.GRACE + 1)
    assert not state.in_flight(UUID, ".starting")


def test_a_damaged_marker_that_goes_while_it_is_looked_at_is_none(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "read_pairs", lambda _path: {})
    assert not state.in_flight(UUID, ".starting")


# ---- resuming


def aged(mark: Path, at: str) -> None:
    """Have a mark say another time than the one it was set at."""
    lines = [line for line in mark.read_text().splitlines() if not line.startswith("at=")]
    mark.write_text("\n".join([*lines, at, ""]))


def test_nobody_resumes_where_nothing_is_recorded(run: Path, elsewhere: str) -> None:
    assert not state.resuming(UUID)
    assert not state.resuming(UUID, elsewhere)


def test_a_living_process_may_take_long_to_resume(run: Path, elsewhere: str) -> None:
    suffix = f".resuming.{os.getpid()}"
    state.mark(UUID, suffix, os.getpid())
    aged(run / f"{UUID}{suffix}", f"at={time.monotonic() - state.ABANDONED - 1}")
    assert state.resuming(UUID)
    assert not state.resuming(OTHER), "another VM's"
    assert not state.resuming(UUID, elsewhere), "another directory's"
    state.mark(OTHER, suffix, os.getpid(), elsewhere)
    assert state.resuming(OTHER, elsewhere)


def test_what_a_dead_process_asked_of_libvirt_may_still_be_done_for_a_while(run: Path) -> None:
    suffix = f".resuming.{NOBODY}"
    state.mark(UUID, suffix, NOBODY)
    assert state.resuming(UUID)
    file = run / f"{UUID}{suffix}"
    aged(file, f"at={time.monotonic() - state.ABANDONED - 1}")
    assert not state.resuming(UUID)
    assert not (run / f"{UUID}{suffix}").exists(), "nobody else would take it away"


@pytest.mark.parametrize("at", ["", "at=soon"], ids=["no time", "no number"])
def test_a_mark_that_does_not_say_when_it_was_set_is_as_old_as_its_file(run: Path, at: str) -> None:
    suffix = f".resuming.{NOBODY}"
    state.mark(UUID, suffix, NOBODY)
    file = run / f"{UUID}{suffix}"
    aged(file, at)
    assert state.resuming(UUID)
    os.utime(file, (0, 0))
    assert not state.resuming(UUID)


def test_a_mark_that_goes_while_it_is_looked_at_is_none(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suffix = f".resuming.{NOBODY}"
    state.mark(UUID, suffix, NOBODY)

    def ends_meanwhile(*_: object) -> bool:
        (run / f"{UUID}{suffix}").unlink()
        return False

    monkeypatch.setattr(state, "in_flight", ends_meanwhile)
    assert not state.resuming(UUID)


def test_only_marks_of_a_resume_are_looked_at_and_taken_away(run: Path) -> None:
    """A start's own marker is no resume; and without its claim the sweep would not know the VM any more."""
    state.write(UUID, State(EX))
    state.mark(UUID, ".starting", os.getpid())
    for path in run.iterdir():
        os.utime(path, (0, 0))
    assert not state.resuming(UUID)
    assert {path.name for path in run.iterdir()} == {UUID, f"{UUID}.starting"}


# ---- the node


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (None, True),
        ({}, True),
        ({"boot": "this"}, False),
        ({"boot": "this", "leaving": "0"}, False),
        ({"boot": "this", "leaving": "1"}, True),
        ({"boot": BOOT}, True),
    ],
    ids=["not joined", "damaged", "joined", "stays", "leaves", "before the boot"],
)
def test_what_a_node_outside_the_lockspace_recorded_admits_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: dict[str, str] | None, expected: bool
) -> None:
    path = str(tmp_path / "lockspace")
    if record is not None:
        boot = {"boot": state.boot_id()} if record.get("boot") == "this" else {}
        state.write_pairs(path, {**record, **boot})
    assert state.leaving(path) is expected
    monkeypatch.setattr(state, "LOCKSPACE", path)
    assert state.leaving() is expected


def test_a_nodes_name_is_pacemakers_then_the_configurations_then_the_hosts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gate names its target by this name: by another one nobody would be admitted."""
    lockspace, config = str(tmp_path / "lockspace"), str(tmp_path / "guard.conf")
    monkeypatch.setattr(state, "LOCKSPACE", lockspace)
    assert state.node_name(config) == os.uname().nodename
    state.write_pairs(config, {"dlm": "libdlm"})
    assert state.node_name(config) == os.uname().nodename
    state.write_pairs(config, {"node": "of-the-configuration"})
    assert state.node_name(config) == "of-the-configuration"
    state.write_pairs(lockspace, {"node": ""})
    assert state.node_name(config) == "of-the-configuration"
    state.write_pairs(lockspace, {"node": "of-pacemaker"})
    assert state.node_name(config) == "of-pacemaker"


def test_where_a_nodes_name_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(state, "read_pairs", asked.append)
    assert state.node_name() == os.uname().nodename
    assert asked == ["/run/hacluster/lockspace", "/etc/hacluster/guard.conf"]


# ---- value blocks


def test_the_format_is_what_the_other_node_reads() -> None:
    """Whoever changes it changes the version, too: by that two nodes tell before a move whether they agree."""
    assert VERSION == "1"
    rest = "0480a93d2e9b09" + NONCE + BOOT.replace("-", "")  # the first is sha256 of n2, as far as there is room
    assert state.encode("n2", NONCE, BOOT).hex() == "01" + rest
    assert state.encode_handed_over("n2", NONCE, BOOT).hex() == "02" + rest


@pytest.mark.parametrize(("nonce", "boot"), [("0123", BOOT), (NONCE, "0000"), (NONCE + "00", BOOT)])
def test_a_block_of_the_wrong_length_is_never_written(nonce: str, boot: str) -> None:
    """The lock manager would cut or fill it, and it would name another move."""
    with pytest.raises(ValueError, match="wrong length"):
        state.encode("n2", nonce, boot)


def test_a_nonce_fits_into_a_block_and_is_never_the_same_twice() -> None:
    first, second = state.new_nonce(), state.new_nonce()
    assert first != second
    assert state.admits(state.encode("n2", first, BOOT), "n2", first)


def test_a_mark_does_not_grow_old_by_the_wall_clock(run: Path) -> None:
    """A clock that is set back would otherwise keep every move away from this node for as long."""
    suffix = f".resuming.{NOBODY}"
    file = run / f"{UUID}{suffix}"
    run.mkdir()
    file.write_text(f"pid={NOBODY}\nstart=1\nat={time.monotonic() - state.ABANDONED - 1}\nuntil=\n")
    tomorrow = time.time() + 86400
    os.utime(file, (tomorrow, tomorrow))
    assert not state.resuming(UUID)


def test_what_should_be_a_record_and_is_a_folder_says_nothing(run: Path) -> None:
    (run / UUID).mkdir(parents=True)
    assert state.read(UUID).mode == NL
