"""The kit asks of a namespace every function that energies, mappings and packings call."""

from __future__ import annotations

import re

from ffbridge.testing.functions import _FUNCTIONS

# The functions ones_like and zeros_like stand in the case of `where`; the others are numbers.
ELSEWHERE = {"inf", "nan", "ones_like", "zeros_like"}


def test_every_function_that_energies_call_is_checked(root):
    core = root / "bridge/ffbridge"
    modules = [*(core / "energy").glob("*.py"), core / "mapping.py", core / "packing.py", core / "first_order.py"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in modules)
    called = set(re.findall(r"\b(?:xp|namespace)\.(?:linalg\.)?([a-z]\w*)", text))
    assert {"sqrt", "searchsorted", "atan2"} <= called
    assert called - ELSEWHERE - set(_FUNCTIONS) == set()
