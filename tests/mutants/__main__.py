"""`make mutants`: does each line of hacluster/guard matter to some test? Every mutant of it must make one fail.

The tree is copied, and the copy is changed, one mutant at a time, in a mount and a pid namespace of its own: a guard
that has lost a check might write to this machine's /run, or leave processes behind. Each mutant's tests run in a fork
of a process that has pytest loaded: first its module's own, then the guard's others, and so on to the scenarios, up to
the first failure. One that never ends counts as noticed, too. Exit code 1 if a mutant survives.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.mutants.equivalent import EQUIVALENT
from tests.mutants.make import Mutant, mutants

ROOT = Path(__file__).parents[2]
GUARD = Path("hacluster/guard")
STAGES = (("tests/unit/guard", "tests/contract", "tests/unit/agent"), ("tests/unit/sim", "tests/scenarios"))
"""The tests that a mutant has to pass after its module's own, the likeliest to notice it first."""

ALSO = {"table": ["tests/model/test_model.py"], "memory": ["tests/contract"]}
"""Further tests that are a module's own. Of the table the model and the page are made, which show each of its cells."""

KEPT_OUT = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info")
INSIDE = "HACLUSTER_MUTANTS_INSIDE"
PASSED = 42
"""What a test run ends with that passed: a mutant may well end the whole process with 0."""

OUTPUT = "last-run"
"""What the last test run said."""

KILLED, TIMED_OUT, SURVIVED = "killed", "timed out", "survived"


def arguments() -> argparse.Namespace:
    """What the command line asks for. Exits with 2 on anything else."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("only", nargs="*", metavar="MODULE[:LINE]", help="mutants of these only: lock, or lock:120")
    parser.add_argument("--quick", action="store_true", help="only the tests of the module itself")
    return parser.parse_args()


def outside() -> int:
    """Copy the tree and go on there, with a /run and processes of its own."""
    with tempfile.TemporaryDirectory(prefix="hacluster-mutants-") as home:
        copy = Path(home) / "tree"
        shutil.copytree(ROOT, copy, ignore=KEPT_OUT)
        (Path(home) / "tmp").mkdir()
        surroundings = {**os.environ, INSIDE: "1", "PYTHONPATH": str(copy), "TMPDIR": f"{home}/tmp"}
        surroundings["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # hypothesis alone would take longer than most tests
        begin = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        if os.geteuid() != 0:
            begin += ["--user", "--map-root-user"]
        again = [sys.executable, "-m", "tests.mutants", *sys.argv[1:]]
        shell = ["sh", "-c", 'mount -t tmpfs none /run && nice -n 5 "$@"; exit $?', "sh"]
        return subprocess.run([*begin, *shell, *again], cwd=copy, env=surroundings, check=False).returncode


def run_tests(tests: list[str], limit: float) -> str:
    """How a fork of this process fares with these tests, up to the first failure."""
    # Two mutants may be equally long and of the same second: no byte code of the guard may stay.
    shutil.rmtree(GUARD / "__pycache__", ignore_errors=True)
    child = os.fork()
    if child == 0:
        os.setsid()
        with contextlib.suppress(BaseException):
            sink = os.open(OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(sink, 1)
            os.dup2(sink, 2)
            if _pytest(tests) == 0:
                os._exit(PASSED)
        os._exit(1)
    until = time.monotonic() + limit
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            result = SURVIVED if os.waitstatus_to_exitcode(status) == PASSED else KILLED
            break
        if time.monotonic() > until:
            result = TIMED_OUT
            break
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if result == TIMED_OUT:
        os.waitpid(child, 0)
    return result


def _pytest(tests: list[str]) -> int:
    import pytest

    quietly = ["-x", "-q", "--no-header", "--tb=line", "--assert=plain", "-p", "no:cacheprovider"]
    return int(pytest.main([*quietly, "-m", "not lab and not tools and not model", *tests]))


def own_tests(module: Path) -> list[str]:
    """The tests of one module of the guard, which come first."""
    own = sorted(map(str, Path("tests/unit/guard").glob(f"test_{module.stem}*.py")))
    return [*own, *ALSO.get(module.stem, [])] or ["tests/unit/guard"]


class Trials:
    """The test runs, each with a limit that follows from what the same tests take while the guard is whole."""

    def __init__(self, quick: bool) -> None:
        self._more: list[list[str]] = [] if quick else [list(tests) for tests in STAGES]
        self._limits: dict[tuple[str, ...], float] = {}

    def _limit(self, tests: list[str]) -> float:
        key = tuple(tests)
        if key not in self._limits:
            begun = time.monotonic()
            if run_tests(tests, 600) != SURVIVED:
                sys.exit(f"without any mutant {' '.join(tests)} fails:\n{Path(OUTPUT).read_text()[-4000:]}")
            self._limits[key] = 10 + 5 * (time.monotonic() - begun)
        return self._limits[key]

    def of(self, module: Path, source: bytes, mutant: Mutant) -> str:
        """Whether a test notices the mutant. The module is as it was before afterwards."""
        for tests in [own_tests(module), *self._more]:
            limit = self._limit(tests)
            module.write_bytes(mutant.applied(source))
            result = run_tests(tests, limit)
            module.write_bytes(source)
            if result != SURVIVED:
                return result
        return SURVIVED


def wanted(only: list[str]) -> Iterator[tuple[Path, bytes, list[Mutant]]]:
    """The modules and the mutants of each that were asked for."""
    for module in sorted(GUARD.glob("*.py")):
        if only and module.stem not in {name.partition(":")[0] for name in only}:
            continue
        source = module.read_bytes()
        found = [m for m in mutants(source) if not only or {module.stem, f"{module.stem}:{m.line}"} & set(only)]
        if found:
            yield module, source, found


def inside(only: list[str], quick: bool) -> int:
    """Try all mutants and say which survive."""
    with contextlib.redirect_stdout(io.StringIO()):
        _pytest(["--version"])  # loads it, so that the forks need not
    counts = dict.fromkeys((KILLED, TIMED_OUT, SURVIVED), 0)
    excused: set[tuple[str, str, str]] = set()
    trials = Trials(quick)
    begun = time.monotonic()
    for module, source, found in wanted(only):
        print(f"{module}: {len(found)} mutants", flush=True)
        for mutant in found:
            key = (module.name, source.decode().splitlines()[mutant.line - 1].strip(), mutant.what)
            if key in EQUIVALENT:
                excused.add(key)
                continue
            result = trials.of(module, source, mutant)
            counts[result] += 1
            if result == SURVIVED:
                print(f"  SURVIVED {module}:{mutant.line}: {mutant.what}", flush=True)
            elif result == TIMED_OUT:
                print(f"  never ended: {module}:{mutant.line}: {mutant.what}", flush=True)
    stale = [] if only else sorted(set(EQUIVALENT) - excused)
    for module_name, line, what in stale:
        print(f"tests/mutants/equivalent.py excuses what is no mutant any more: {module_name}: {line}: {what}")
    noticed = counts[KILLED] + counts[TIMED_OUT]
    print(
        f"{sum(counts.values())} mutants of {GUARD}: {noticed} noticed ({counts[TIMED_OUT]} of them never ended), "
        f"{counts[SURVIVED]} survived; {len(excused)} more cannot change what happens. "
        f"{time.monotonic() - begun:.0f} s."
    )
    return 1 if counts[SURVIVED] or stale else 0


if __name__ == "__main__":
    asked = arguments()
    sys.exit(inside(asked.only, asked.quick) if os.environ.get(INSIDE) else outside())
