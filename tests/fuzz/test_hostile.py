"""Files made to do harm: refused with an error of ffbridge, in little time and memory, whatever they claim."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import time
import tracemalloc
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

import ffbridge as fb
from ffbridge import reading
from ffbridge.building.builder import _file_name
from ffbridge.errors import BundleError, BundleFileError, ValidationError
from ffbridge.rules import models, parameters
from ffbridge_spec import vectors
from tests.bridge.samples import bundle

from .container import Container, Tensor, join, split, unpack, written
from .seeds import container_of

MINIMAL = (vectors("valid") / "minimal.ffb").read_bytes()


@contextmanager
def bounded(seconds=5.0, megabytes=64):
    """A scope that may take so much processor time, and so much memory at its peak."""
    tracemalloc.start()
    start = time.process_time()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()
    assert time.process_time() - start < seconds
    assert peak < megabytes


def refused(content, path, message, *, verify=True, error=BundleFileError, **limits):
    path.write_bytes(content)
    with bounded(**limits), pytest.raises(error, match=message):
        fb.load(path, verify=verify)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hostile.ffb"


def minimal() -> Container:
    return unpack(MINIMAL)


def with_header(change):
    """The minimal file with a changed header, its data as they are."""
    header, data = split(MINIMAL)
    parsed = json.loads(header)
    change(parsed)
    return join(json.dumps(parsed).encode(), data)


def with_document(change):
    container = minimal()
    document = json.loads(container.document)
    change(document)
    container.document = written(document)
    return container.pack()


OFFSETS = {
    "overlap": ([0, 8], [4, 12]),
    "leave a gap": ([0, 8], [12, 20]),
    "are equal, and end where the data end": ([8, 16], [8, 16]),
    "run backwards": ([8, 0], [8, 16]),
    "go beyond the end": ([0, 8], [8, 2**40]),
    "overflow": ([2**64 - 8, 2**64], [0, 8]),
    "are negative": ([-8, 0], [0, 8]),
    "are no integers": ([0.0, 8.0], [8, 16]),
    "are texts": (["0", "8"], [8, 16]),
    "are three": ([0, 4, 8], [8, 16]),
    "are none": (None, [8, 16]),
}


SHAPES = {
    "more numbers than bytes": [2**40],
    "a product that overflows to nothing": [2**32, 2**32],
    "a product that overflows to little": [2**62 + 1, 4],
    "negative": [-2],
    "a negative product that is right": [-1, -2],
    "no integer": [2.0],
    "true": [True, 2],
    "no list": 2,
    "numbers of hundreds of digits": [10**400, 0],
}


class TestHeaders:
    @pytest.mark.parametrize("length", [0, len(MINIMAL) - 7, len(MINIMAL), 10**8, 10**8 + 1, 2**31, 2**63, 2**64 - 1])
    def test_a_length_that_is_not_there(self, length, path):
        refused(struct.pack("<Q", length) + MINIMAL[8:], path, "not a whole safetensors file")

    def test_a_header_of_the_largest_size_that_is_empty(self, path):
        """A sparse file: next to nothing on disk."""
        with path.open("wb") as file:
            file.write(struct.pack("<Q", reading.LONGEST_HEADER))
            file.truncate(8 + reading.LONGEST_HEADER)
        with bounded(megabytes=150), pytest.raises(BundleFileError, match="its header is no JSON object"):
            fb.load(path)

    @pytest.mark.parametrize("case", OFFSETS)
    def test_offsets_that(self, case, path):
        entries = {
            name: {"dtype": "I32", "shape": [2], "data_offsets": offsets}
            for name, offsets in zip("ab", OFFSETS[case], strict=True)
        }
        header = json.dumps({"__metadata__": {"ffbridge": "{}"}} | entries).encode()
        refused(join(header, bytes(16)), path, "not a whole safetensors file")

    @pytest.mark.parametrize("case", SHAPES)
    def test_shapes_that_are(self, case, path):
        def change(header):
            header["atomic_numbers"]["shape"] = SHAPES[case]

        refused(
            with_header(change), path, "not a whole safetensors file|no array in NumPy can have|too large to convert"
        )

    @pytest.mark.parametrize("shape", [[0] + [1] * 64, [0, 2**50, 2**13]])
    def test_empty_arrays_that_numpy_cannot_have(self, shape, path):
        container = minimal()
        container.tensors["masses"] = Tensor("F64", shape, b"")
        refused(container.pack(), path, "masses: a shape of .* axes that no array in NumPy can have .A-3")

    @pytest.mark.parametrize("dtype", ["F8_E4M3", "C64", "f64", "F128", "", None, 3, [], "O"])
    def test_dtypes_that_there_are_not(self, dtype, path):
        refused(with_header(lambda header: header["atomic_numbers"].update(dtype=dtype)), path, "dtype .*A-2")

    def test_bools_that_are_neither_true_nor_false(self, path):
        container = container_of(bundle().document(), bundle().arrays())
        container.tensors["models/net/flag"] = Tensor("BOOL", [2], b"\x01\x02")
        refused(container.pack(), path, "models/net/flag: bytes other than 0 and 1 as bool")

    @pytest.mark.parametrize("entry", [[], ["I32", [2], [0, 8]], None, 3, "x", {}, {"dtype": "I32", "shape": [2]}])
    def test_entries_that_are_no_objects(self, entry, path):
        refused(with_header(lambda header: header.update(atomic_numbers=entry)), path, "atomic_numbers: expected dtype")

    @pytest.mark.parametrize("metadata", [[], "x", 3, {"ffbridge": 3}, {"ffbridge": None}, {"ffbridge": {}}])
    def test_metadata_that_are_no_texts(self, metadata, path):
        refused(with_header(lambda header: header.update(__metadata__=metadata)), path, "__metadata__ is no object")

    @pytest.mark.parametrize("metadata", [None, {}, {"x": "y"}])
    def test_metadata_that_are_not_there(self, metadata, path):
        refused(with_header(lambda header: header.update(__metadata__=metadata)), path, "no bundle .F-2")


class TestTexts:
    @pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
    def test_other_encodings(self, encoding, path):
        header, data = split(MINIMAL)
        refused(join(header.decode().encode(encoding), data), path, "F-1|F-3")

    @pytest.mark.parametrize("byte", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80"])
    def test_bytes_that_are_no_utf_8(self, byte, path):
        header, data = split(MINIMAL)
        refused(join(header.replace(b"harmonic", b"h" + byte, 1), data), path, "is not the JSON of a bundle.*F-3")

    def test_half_of_a_surrogate_pair(self, path):
        header, data = split(MINIMAL)
        refused(join(header.replace(b'"atomic_numbers"', b'"\\ud800"'), data), path, "is no Unicode.*F-1")
        for document in ('{"provenance":{"a":"\\ud800"}}', '{"provenance":{"\\udfff":1}}', '{"\\ud800":1}'):
            for verify in (True, False):
                container = minimal()
                container.document = '{"format":"ffbridge-bundle","version":"1.0",' + document[1:]
                refused(container.pack(), path, "F-3", verify=verify)

    @pytest.mark.parametrize("depth", [100, 300, 600, 990, 10**5])
    @pytest.mark.parametrize("verify", [True, False])
    def test_nesting(self, depth, verify, path):
        """Read, or refused with a message; never an overflow of the stack."""
        container = minimal()
        text = container.document
        nested = ',"provenance":{"a":' + "[" * depth + "]" * depth + "}"
        container.document = text.replace(',"tables"', nested + ',"tables"')
        path.write_bytes(container.pack())
        with bounded():
            try:
                found = fb.load(path, verify=verify)
                assert depth < 990
                fb.validate(found)
            except BundleFileError as error:
                assert depth > 100, error  # noqa: PT017  which depths are read depends on the caller's own

    def test_a_header_that_nests(self, path):
        refused(join(b'{"a":' + b"[" * 10**6, b""), path, "is not the JSON of a bundle")

    def test_a_name_twice_among_very_many(self, path):
        names = ",".join(f'"{number}":0' for number in range(50_000))
        header = f'{{"__metadata__":{{}},{names},"49999":0}}'.encode()
        refused(join(header, b""), path, "the name '49999' stands twice.*F-4", megabytes=200)

    @pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity", "9" * 400, "9" * 5000], ids=range(6))
    @pytest.mark.parametrize("verify", [True, False])
    def test_numbers_that_are_none(self, number, verify, path):
        container = minimal()
        container.document = container.document.removesuffix("}") + f',"provenance":{{"a":{number}}}}}'
        refused(container.pack(), path, "F-3", verify=verify)

    def test_large_numbers_are_kept_as_real_numbers(self, path):
        """Their canonical form has no point: read as integers, they would not be JSON's any more."""
        source = replace(bundle("minimal"), provenance={"small": 1e15, "large": 1e17, "larger": 2.0**70, "e": 1e25})
        fb.save(source, path)
        found = fb.load(path)
        assert found.provenance == source.provenance
        assert found.content_hash == source.content_hash
        with pytest.raises(BundleError, match="exceeds safe integer domain"):
            fb.save(replace(source, provenance={"a": 2**53 + 1}), path)

    @pytest.mark.parametrize("value", [10**5000, "\ud800", {"\ud800": 1}, {1: 2}, float("nan"), object()], ids=range(6))
    def test_documents_made_in_python_that_json_cannot_hold(self, value, path):
        with pytest.raises(BundleError, match="convert the value"):
            fb.save(replace(bundle("minimal"), provenance={"a": value}), path)
        assert not path.exists()

    def test_documents_made_in_python_that_nest_too_deep(self, path):
        value: object = 10**400
        for _ in range(5000):
            value = [value]
        with pytest.raises(BundleError, match="nested deeper than Python can follow"):
            fb.save(replace(bundle("minimal"), provenance={"a": value}), path)


class TestCounts:
    """What is linear in the file for honest ones is so for all."""

    def test_faults_are_listed_to_a_limit(self, path):
        """Those of a million keys would take minutes, and nobody would read them."""
        keys = [{"handler": 1, "pattern": ""}] * 20_000
        content = with_document(lambda document: document["tables"]["bonds"].update(keys=keys))
        message = r"\(1001 faults\)(?s:.*)…: there are more; these are the first 1000 \[D-5\]"
        refused(content, path, message, error=ValidationError)

    def test_quoted_names_are_few_and_short(self, path):
        def change(document):
            for number in range(1000):
                document["tables"][f"t{number}"] = document["tables"]["bonds"]
            document["terms"]["bonds"] |= {"form": "x" * 10**6, "table": "y" * 10**6}

        path.write_bytes(with_document(change))
        with pytest.raises(ValidationError) as caught:
            fb.load(path)
        assert len(str(caught.value)) < 1000
        assert "there are: bonds, t0, t1, t10, t100, t101, …, t994" in str(caught.value)

    @pytest.mark.parametrize("check", [models.faults, fb.Bundle.from_parts])
    def test_models_and_weights(self, check):
        """Each weight is given to its model once, instead of each model looking through all weights."""
        names = [f"m{number}" for number in range(20_000)]
        document = {
            "tables": {},
            "terms": {},
            "models": {n: {"version": "", "framework": "", "sha256": ""} for n in names},
        }
        arrays = {f"models/{name}/w": np.zeros(0) for name in names}
        if check == fb.Bundle.from_parts:
            document, arrays = document | {}, arrays | {"system_offsets": np.zeros(1), "atomic_numbers": np.zeros(0)}
        start = time.process_time()
        found = check(document, arrays)
        assert found.models["m7"].weights.keys() == {"w"} if isinstance(found, fb.Bundle) else list(found) == []
        assert time.process_time() - start < 5

    def test_terms_that_share_a_table_of_many_columns(self):
        """Columns are compared once for a table, not for each of its terms."""
        n_columns = 120**2
        term = {"form": "cmap", "table": "map", "mapping": "identity", "settings": {"size": 120}}
        document = {
            "tables": {"map": {"columns": ["x"] * n_columns, "units": ["kJ/mol"] * n_columns}},
            "terms": {f"t{number}": term for number in range(20_000)},
        }
        start = time.process_time()
        (found,) = parameters.faults(document, {"tables/map/values": np.zeros((0, n_columns))})
        assert found.rule == "T-1"
        assert time.process_time() - start < 5


class TestPlaces:
    def test_a_pipe_that_nobody_writes_to(self, path):
        os.mkfifo(path)
        with bounded(), pytest.raises(BundleFileError, match="is no regular file"):
            fb.load(path)

    @pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/random"])
    def test_devices(self, device):
        with bounded(), pytest.raises(BundleFileError, match="is no regular file"):
            fb.load(device)
        with pytest.raises(BundleFileError, match="cannot be written: it is there and is no regular file"):
            fb.save(bundle("minimal"), device)
        assert not os.path.isfile(device)

    def test_sockets_and_folders(self, tmp_path, monkeypatch):
        with socket.socket(socket.AF_UNIX) as opened:
            monkeypatch.chdir(tmp_path)  # a socket's path must be short
            opened.bind("s.ffb")
            with pytest.raises(BundleFileError, match="cannot be read"):
                fb.load("s.ffb")
        with pytest.raises(BundleFileError, match="cannot be read: Is a directory"):
            fb.load(tmp_path)
        with pytest.raises(BundleFileError, match="cannot be written"):
            fb.save(bundle("minimal"), tmp_path)

    def test_links(self, path):
        """A link to a bundle is one; a link to itself, or to nothing, is refused and stays."""
        path.symlink_to(path.name)
        with pytest.raises(BundleFileError, match="cannot be read: Too many levels of symbolic links"):
            fb.load(path)
        with pytest.raises(BundleFileError, match="cannot be written: Too many levels of symbolic links"):
            fb.save(bundle("minimal"), path)
        assert path.is_symlink()
        path.unlink()
        path.symlink_to(path.with_name("none") / "x.ffb")
        with pytest.raises(BundleFileError, match="cannot be read: No such file"):
            fb.load(path)
        path.unlink()
        path.with_name("real.ffb").write_bytes(MINIMAL)
        path.symlink_to("real.ffb")
        assert fb.load(path).n_atoms == 2

    def test_a_link_where_the_temporary_file_would_be(self, path):
        """Whoever else may write to the folder cannot make `save` write through a link of his."""
        victim = path.with_name("victim")
        victim.write_text("precious")
        path.with_name(f".{path.name}.0.part").symlink_to(victim)
        path.with_name(f".{path.name}.1.part").mkdir()
        fb.save(bundle("minimal"), path)
        assert victim.read_text() == "precious"
        assert fb.load(path).n_atoms == 2

    @pytest.mark.parametrize("name", ["../x", "/etc/passwd", "..", "a/../../b", "models/../../x", "a\x00b", "con\n"])
    def test_names_of_arrays_are_no_paths(self, name, path, tmp_path):
        container = minimal()
        container.tensors[name] = Tensor("F64", [0], b"")
        refused(container.pack(), path, "no place for this array", error=ValidationError)
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "..", ".hidden", "a\x00b", "x" * 1000, "é/ü", ""])
    def test_names_of_molecules_are_no_paths(self, name, tmp_path):
        found = _file_name(name, "0" * 64)
        assert (tmp_path / found).parent == tmp_path
        assert not found.startswith(".")
        assert len(os.fsencode(found)) < 200
        assert "\0" not in found

    def test_a_file_that_is_cut_while_it_is_read(self, path, monkeypatch):
        """A memory map of it would end the process with SIGBUS."""
        container = minimal()
        document = json.loads(container.document)
        document["models"] = {"m": {"version": "", "framework": "", "sha256": ""}}
        container.document = written(document)
        container.tensors["models/m/w"] = Tensor("U8", [2**20], bytes(2**20))
        path.write_bytes(container.pack())
        assert fb.load(path).models["m"].weights["w"].shape == (2**20,)
        entry = reading._entry

        def cut(*arguments):
            os.truncate(path, 2**19)
            return entry(*arguments)

        monkeypatch.setattr(reading, "_entry", cut)
        with pytest.raises(BundleFileError, match="it became shorter while it was read"):
            fb.load(path)

    def test_more_than_there_is_memory_for(self, path):
        """A sparse file of a tebibyte: next to nothing on disk, and its header is right."""
        size = 2**40
        entry = {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}
        header = json.dumps({"__metadata__": {"ffbridge": "{}"}, "models/m/w": entry}).encode()
        path.write_bytes(join(header, b""))
        os.truncate(path, path.stat().st_size + size)
        code = (
            "import resource, sys, ffbridge as fb; resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))\n"
            "try: fb.load(sys.argv[1])\nexcept fb.errors.BundleFileError as error: sys.stdout.write(str(error))"
        )
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
        assert "takes more memory than there is" in done.stdout
