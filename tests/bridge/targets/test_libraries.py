"""What a missing library of a format says."""

from __future__ import annotations

import sys

import pytest

import ffbridge as fb
from ffbridge.errors import FFBridgeError, MissingDependencyError
from ffbridge.targets.libraries import library


@pytest.mark.parametrize(
    ("package", "read"),
    [
        ("pyarrow", lambda path: fb.targets.load(path)),
        ("pyarrow", lambda path: fb.targets.read_descent(path)),
        ("h5py", lambda path: fb.targets.read_spice(path)),
        ("ase", lambda path: fb.targets.read_extended_xyz(path, energy_unit="eV", smiles="[H:1][H:2]")),
    ],
)
def test_it_is_named_with_what_installs_it(package, read, tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"nothing")
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=rf"package '{package}'.*ffbridge\[targets\]"):
        read(path)


def test_a_fault_inside_a_library_is_its_own(tmp_path, monkeypatch):
    (tmp_path / "broken_library.py").write_text("import not_there_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_there_at_all") as caught:
        library("broken_library")
    assert not isinstance(caught.value, FFBridgeError)
