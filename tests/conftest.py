"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

from tests.depth import DEEP

settings.register_profile("the same in each run", derandomize=not DEEP, database=None, print_blob=bool(DEEP))
settings.load_profile("the same in each run")
