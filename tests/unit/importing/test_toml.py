"""The text of a cluster.toml: tomllib reads from it exactly what was written."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hacluster.importing import toml

text = st.text(st.sampled_from("ab_-.\"'\\#=[]{}\n\r\t\x00\x1b\x7f\x9b é𝔘\u202e\ufeff"), max_size=8)
scalars = st.one_of(
    text, st.integers(-(2**63), 2**63 - 1), st.booleans(), st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(text, inner, max_size=3)),
    max_leaves=6,
)
table = st.dictionaries(text, values, max_size=4)


@given(
    st.fixed_dictionaries(
        {"cluster": table, "nodes": st.dictionaries(text, table, max_size=3)},
        optional={"vms": st.dictionaries(text, table, min_size=1, max_size=3), "libvirt": table},
    ),
    st.lists(text, max_size=3),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_written_is_read(tables: dict[str, Any], comments: list[str]) -> None:
    written = toml.write(tables, comments, {"nodes": comments, "cluster": comments})
    assert tomllib.loads(written) == tables
    assert all(c.isprintable() or c == "\n" for c in written)
