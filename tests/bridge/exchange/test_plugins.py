"""Plug-ins of other make: subclasses, producers with faults or of an older DLPack, consumers that take little."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np
import pytest

from ffbridge import registry
from ffbridge.backend import Backend, Capabilities
from ffbridge.errors import ExchangeError
from ffbridge.exchange import share, to, transfer
from ffbridge.layout import Layout
from ffbridge.memory import aligned_copy

from .arrays import make


class Buffer:
    """The smallest array: NumPy memory, shown through DLPack."""

    def __init__(self, array):
        self.array = array
        self.shape = array.shape

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return (1, 0)


class Old(Buffer):
    """Knows DLPack as it was before versions."""

    def __dlpack__(self, *, stream=None):
        return self.array.__dlpack__()


class Faulty(Buffer):
    """Has a bug that is a TypeError, which consumers take for a sign of age and try again."""

    def __dlpack__(self, **options):
        return len(None)


class BufferSpace:
    """Of the array API, only what the exchange needs."""

    @staticmethod
    def from_dlpack(source):
        return Buffer(np.from_dlpack(source))


class BufferBackend(Backend):
    """Holds float32 in C order, and asks for no version of DLPack."""

    name = "buffer"
    package = "numpy"
    install = "pip install buffer"
    capabilities = Capabilities(
        dtypes=frozenset({"float32"}), strides="contiguous", versioned=False, keeps_read_only=True
    )
    namespace = BufferSpace
    array_types = (Buffer,)

    def check(self, array):
        pass

    def dtype(self, array):
        return str(array.array.dtype)

    def layout(self, array):
        flags, interface = array.array.flags, array.array.__array_interface__
        return Layout(array.shape, array.array.strides, array.array.itemsize, interface["data"][0], flags.writeable)

    def copy(self, array, *, dtype=None, device=None):
        return Buffer(np.array(array.array, dtype=dtype, order="C", copy=True))


class WordSpace:
    """Takes whole numbers alone, and copies them."""

    @staticmethod
    def from_dlpack(source):
        array = np.from_dlpack(source)
        if array.dtype.kind != "u":
            raise BufferError("not a whole number")
        return Words(array.copy())


class Words:
    """An array of which only whole numbers leave by DLPack."""

    def __init__(self, array):
        self.array = array
        self.shape = array.shape

    def __dlpack__(self, **options):
        if self.array.dtype.kind != "u":
            raise BufferError("not a whole number")
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return (1, 0)


class WordBackend(BufferBackend):
    """Copies what it imports, and moves floats as whole numbers."""

    name = "words"
    capabilities = Capabilities(
        dtypes=frozenset({"float32", "float64"}), carried=frozenset({"float32", "float64"}), copies=True
    )
    namespace = WordSpace
    array_types = (Words,)

    def copy(self, array, *, dtype=None, device=None):
        return Words(np.array(array.array, dtype=dtype, order="C", copy=True))

    def view(self, array, dtype):
        return Words(array.array.view(dtype))


@pytest.fixture
def buffers(monkeypatch):
    """The backend, registered for one test."""
    monkeypatch.setattr(
        registry, "_BACKENDS", registry.Registry("backend", Backend, group="ffbridge.backends", install="")
    )
    monkeypatch.setattr(registry, "_OWNERS", WeakKeyDictionary())
    registry.register_backend(BufferBackend())
    registry.register_backend(WordBackend())


def floats(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize("kind", [Buffer, Old])
def test_producers_new_and_old(buffers, kind):
    source = floats(2, 3)
    for consumer in ("numpy", "torch"):
        moved = transfer(kind(source), consumer)
        assert moved.zero_copy
        np.testing.assert_array_equal(np.asarray(moved.array), source)


def test_the_fault_of_a_producer_is_shown(buffers):
    for consumer in ("numpy", "torch"):
        with pytest.raises(
            ExchangeError, match=r"Faulty.__dlpack__ of the backend 'buffer' fails: TypeError: .*NoneType"
        ):
            to(Faulty(floats(3)), consumer)


def test_a_consumer_of_contiguous_memory(buffers):
    source = floats(2, 3)
    assert transfer(source, "buffer").zero_copy
    for other in (source.T, source[:, ::2], source[::-1], np.broadcast_to(source[0], (2, 3))):
        moved = transfer(other, "buffer")
        assert not moved.zero_copy
        np.testing.assert_array_equal(moved.array.array, other)
    assert transfer(source.T, "buffer").reason == "not C-contiguous"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_consumer_that_copies(buffers, dtype):
    source = aligned_copy(floats(2, 3).astype(dtype))
    for other, told in ((source, "words copies whatever it imports"), (source[::-1], None)):
        for copy in (None, True):
            moved = transfer(other, "words", copy=copy)
            assert not moved.zero_copy
            assert told in (None, moved.reason)
            assert moved.array.array.dtype == dtype
            np.testing.assert_array_equal(moved.array.array, other)
    assert share(source, "words").reason == "words copies whatever it imports"
    with pytest.raises(ExchangeError, match=r"copies whatever it imports; allow a copy \(copy=None\)"):
        to(source, "words", copy=False)
    assert "copies what it imports" in registry.get_backend("words").abilities()


def test_it_copies_once(buffers, monkeypatch):
    """What copies as it imports is not given a copy."""
    monkeypatch.setattr(BufferBackend, "copy", lambda *arguments, **options: pytest.fail("copied before"))
    source = Buffer(floats(3))
    assert to(source, "words").array.tolist() == [0, 1, 2]
    assert to(source, "words", copy=True).array.tolist() == [0, 1, 2]


def test_floats_as_whole_numbers_where_the_other_side_cannot_reinterpret(buffers):
    """By way of NumPy, and its memory is still that of the source where nobody copies."""
    source = Words(floats(2, 3))
    there = transfer(source, "buffer")
    assert there.zero_copy
    assert np.shares_memory(there.array.array, source.array)
    np.testing.assert_array_equal(there.array.array, source.array)
    back = transfer(there.array, "words")
    assert back.reason == "words copies whatever it imports"
    np.testing.assert_array_equal(back.array.array, source.array)


@pytest.mark.parametrize(("lies", "reason"), [("contiguous", None), ("transposed", "not C-contiguous")])
def test_xla_may_have_chosen_another_order(buffers, lies, reason):
    pytest.importorskip("jax")
    made = make("jax", "float32", lies)
    moved = transfer(made.array, "buffer")
    assert (moved.zero_copy, moved.reason) == (reason is None, reason)
    assert moved.array.array.tobytes() == made.content


def test_read_only_memory_whose_flag_nobody_can_leave_out(buffers):
    source = aligned_copy(floats(4))
    source.flags.writeable = False
    assert transfer(source, "buffer").zero_copy  # numpy leaves the flag out, and the buffer keeps what is read-only
    held = Buffer(source)
    pytest.importorskip("jax")
    moved = transfer(held, "jax")
    assert (moved.zero_copy, moved.reason) == (False, "the memory is read-only, of which jax cannot be told")
    np.testing.assert_array_equal(np.asarray(moved.array), source)
    assert share(held, "torch").zero_copy


def test_what_a_consumer_says_is_told(buffers, monkeypatch):
    def full(source):
        raise BufferError("no room")

    monkeypatch.setattr(BufferSpace, "from_dlpack", full)
    with pytest.raises(
        ExchangeError, match=r"buffer cannot import an array of numpy \(float32, shape \(3,\), cpu\): .*no room"
    ):
        to(floats(3), "buffer")


def test_a_dtype_that_the_consumer_lacks(buffers):
    with pytest.raises(ExchangeError, match=r"buffer has no dtype 'float64'; cast it, with dtype= one of float32"):
        to(floats(3).astype("f8"), "buffer")
    assert to(floats(3).astype("f8"), "buffer", dtype="float32").array.dtype == np.float32
    with pytest.raises(ExchangeError, match="buffer has no dtype 'int8'"):
        to(floats(3), "buffer", dtype="int8")


def test_subclasses_cross_as_plain_arrays(tmp_path):
    torch = pytest.importorskip("torch")

    class Coordinates(torch.Tensor):
        pass

    class Positions(np.ndarray):
        pass

    tensor = torch.arange(3.0).as_subclass(Coordinates)
    assert to(tensor, "torch") is tensor
    assert to(tensor, "numpy").__array_interface__["data"][0] == tensor.data_ptr()
    array = floats(3).view(Positions)
    assert to(array, "numpy") is array
    assert type(to(array, "torch")) is torch.Tensor
    assert transfer(array, "torch").zero_copy
    floats(4).tofile(tmp_path / "m")
    mapped = np.memmap(tmp_path / "m", dtype=np.float32, mode="r+")
    assert transfer(mapped, "torch").zero_copy
    assert to(torch.nn.Parameter(torch.ones(3), requires_grad=False), "numpy").tolist() == [1.0, 1.0, 1.0]


def test_a_subclass_without_memory_is_refused():
    torch = pytest.importorskip("torch")

    class Hollow(torch.Tensor):
        @staticmethod
        def __new__(cls):
            return torch.Tensor._make_wrapper_subclass(cls, (3,))

        @classmethod
        def __torch_dispatch__(cls, function, types, arguments=(), options=None):
            raise NotImplementedError

    with pytest.raises(ExchangeError, match="Hollow has no buffer of its own"):
        to(Hollow(), "numpy")


def test_capsules_are_not_taken():
    with pytest.raises(ExchangeError, match="PyCapsule is not an array of any backend"):
        to(np.ones(3).__dlpack__(), "torch")
