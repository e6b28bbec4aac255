"""What cannot cross is refused by name, with the remedy; nothing is cut, dropped or guessed."""

from __future__ import annotations

import numpy as np
import pytest

from ffbridge.errors import ExchangeError, FFBridgeError, MissingDependencyError, UnknownNameError
from ffbridge.exchange import share, to, transfer

ENDIAN = np.dtype("f8").newbyteorder()
NUMPY = {
    "masked": (lambda: np.ma.masked_array([1.0, 2.0], [True, False]), r"masked array .*filled"),
    "big-endian": (lambda: np.ones(3, ENDIAN), r"byte order: array.astype\(array.dtype.newbyteorder"),
    "structured": (lambda: np.zeros(3, [("x", "f4"), ("q", "i4")]), r"structured array \(x, q\).*one by one"),
    "object": (lambda: np.array([1, "a"], dtype=object), r"Python objects.*astype\(float\)"),
    "text": (lambda: np.array(["C", "N"]), r"dtype <U1: cast it first"),
    "date": (lambda: np.zeros(2, "datetime64[s]"), r"dtype datetime64\[s\]"),
}
TORCH = {
    "requires grad": (lambda t: t.ones(3, requires_grad=True), r"requires grad.*detach\(\).*lambda module"),
    "result of grad": (lambda t: t.ones(3, requires_grad=True) * 2, r"requires grad"),
    "sparse COO": (lambda t: t.eye(3).to_sparse(), r"sparse_coo.*to_dense"),
    "nested": (lambda t: t.nested.nested_tensor([t.ones(2), t.ones(3)]), r"nested.*to_padded_tensor"),
    "jagged": (lambda t: t.nested.nested_tensor([t.ones(2), t.ones(3)], layout=t.jagged), r"nested"),
    "quantized": (lambda t: t.quantize_per_tensor(t.ones(3), 0.1, 0, t.quint8), r"quantized.*dequantize"),
    "mkldnn": (lambda t: t.ones(3).to_mkldnn(), r"_mkldnn.*to_dense"),
    "meta": (lambda t: t.ones(3, device="meta"), r"meta device"),
    "zero tensor": (lambda t: t._efficientzerotensor((3,)), r"no buffer of its own.*clone"),
}


@pytest.mark.parametrize("kind", NUMPY)
def test_numpy(kind):
    make, message = NUMPY[kind]
    with pytest.raises(ExchangeError, match=message):
        to(make(), "torch")


@pytest.mark.parametrize("kind", TORCH)
@pytest.mark.filterwarnings("ignore:.*:UserWarning", "ignore:.*:DeprecationWarning", "ignore:.*:FutureWarning")
def test_torch(kind):
    torch = pytest.importorskip("torch")
    make, message = TORCH[kind]
    array = make(torch)
    for exchange in (to, share):
        with pytest.raises(ExchangeError, match=message):
            exchange(array, "numpy")
    assert to(array, "torch") is array  # what stays in torch keeps what it is


def test_a_gradient_stays_in_torch():
    torch = pytest.importorskip("torch")
    x = torch.ones(3, requires_grad=True)
    (to(x, "torch", copy=True, dtype="float64") * 2).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]


def test_a_detached_parameter_crosses():
    torch = pytest.importorskip("torch")
    parameter = torch.nn.Parameter(torch.ones(3))
    with pytest.raises(ExchangeError, match="requires grad"):
        to(parameter, "numpy")
    assert to(parameter.detach(), "numpy").tolist() == [1.0, 1.0, 1.0]


def test_jax_keys_sparse_deleted():
    jax = pytest.importorskip("jax")
    from jax.experimental import sparse

    with pytest.raises(ExchangeError, match=r"key<fry>.*key_data"):
        to(jax.random.key(0), "numpy")
    with pytest.raises(ExchangeError, match=r"BCOO is sparse.*todense"):
        to(sparse.BCOO.fromdense(jax.numpy.eye(3)), "numpy")
    gone = jax.numpy.ones(3)
    gone.delete()
    with pytest.raises(ExchangeError, match="donated or deleted"):
        to(gone, "numpy")


def test_jax_arrays_over_several_devices():
    """XLA's number of CPU devices is set as the process starts."""
    from .processes import run

    result = run(
        """
        import os
        os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
        import jax, numpy as np
        from ffbridge.exchange import to, transfer
        from ffbridge.errors import ExchangeError
        mesh = jax.sharding.Mesh(jax.devices(), "i")
        spread = jax.device_put(np.ones(4, "f4"), jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("i")))
        try:
            to(spread, "numpy")
        except ExchangeError as error:
            assert "over 2 devices" in str(error) and "device_put" in str(error), error
            print("refused")
        second = jax.device_put(np.arange(4, dtype="f4"), jax.devices()[1])
        print(transfer(second, "numpy").zero_copy, to(second, "numpy").tolist())
        """
    )
    assert result.stdout.split("\n")[:2] == ["refused", "True [0.0, 1.0, 2.0, 3.0]"], result.stderr


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (1.5, r"a Python float is not an array: .*numpy.asarray\(x, dtype"),
        ([1.0, 2.0], "a Python list is not an array"),
        ((1, 2), "a Python tuple is not an array"),
        (np.float64(1.5), r"numpy.float64 is a scalar, not an array: numpy.asarray\(x\)"),
        (None, "NoneType is not an array of any backend .*numpy.*torch"),
        (object(), "object is not an array of any backend"),
    ],
)
def test_what_is_no_array(thing, message):
    for backend in ("torch", "numpy"):
        with pytest.raises(ExchangeError, match=message):
            to(thing, backend)


def test_names():
    with pytest.raises(UnknownNameError, match=r"no backend is named 'tensorflow'; known: .*numpy.*pip install"):
        to(np.ones(3), "tensorflow")
    with pytest.raises(ExchangeError, match=r"has no dtype 'float31'.*float32"):
        to(np.ones(3), "torch", dtype="float31")
    with pytest.raises(ExchangeError, match=r"torch has no device 'tpu:0'; its kinds of devices are: cpu"):
        to(np.ones(3), "torch", device="tpu:0")
    assert issubclass(ExchangeError, FFBridgeError)
    assert issubclass(MissingDependencyError, ImportError)


@pytest.mark.parametrize("dtype", ["int64", "uint64", "float64", "complex128"])
def test_64_bits_do_not_become_32_by_themselves(dtype):
    jax = pytest.importorskip("jax")
    array = np.array([2**40 + 7]).astype(dtype)
    with pytest.raises(ExchangeError, match=r"jax_enable_x64.*jax.enable_x64\(True\).*dtype=\"\w+(32|64)\""):
        to(array, "jax")
    with jax.enable_x64(True):
        kept = to(array, "jax")
    assert str(kept.dtype) == dtype
    assert np.asarray(kept)[0] == array[0]
    # An array made while x64 was on leaves JAX while it is off.
    assert to(kept, "numpy").tobytes() == array.tobytes()
    with pytest.raises(ExchangeError, match="jax_enable_x64"):
        to(np.ones(3, "float32"), "jax", dtype=dtype)
    with pytest.raises(ExchangeError, match="jax_enable_x64"):
        to(jax.numpy.ones(3), "jax", dtype=dtype)
    assert not jax.config.jax_enable_x64


def test_explicit_casts():
    pytest.importorskip("jax")
    moved = transfer(np.array([1.0, 2.0**-30 + 1.0]), "jax", dtype="float32")
    assert str(moved.array.dtype) == "float32"
    assert (moved.zero_copy, moved.reason) == (False, "cast from float64 to float32")
    assert np.asarray(moved.array).tolist() == [1.0, 1.0]
    with pytest.raises(ExchangeError, match='cast from float64 to float32; leave out dtype="float32"'):
        to(np.ones(3), "torch", dtype="float32", copy=False)
    with pytest.raises(ExchangeError, match="imaginary part; take the real part"):
        to(np.ones(3, complex), "torch", dtype="float64")
    # The producer cannot hold 64 bits now; the consumer casts.
    jax = pytest.importorskip("jax")
    wide = transfer(jax.numpy.ones(3), "numpy", dtype="float64")
    assert (wide.array.dtype, wide.reason) == (np.float64, "cast from float32 to float64")


def test_bfloat16_without_ml_dtypes(monkeypatch):
    torch = pytest.importorskip("torch")
    import importlib.util

    from ffbridge.registry import get_backend

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ml_dtypes" else find(name))
    bare = type(get_backend("numpy"))()
    with pytest.raises(ExchangeError, match=r"does not hold bfloat16 now; .*pip install ml_dtypes.*dtype=\"float32\""):
        to(torch.ones(3, dtype=torch.bfloat16), bare)
    assert to(torch.ones(3, dtype=torch.bfloat16), bare, dtype="float32").tolist() == [1.0, 1.0, 1.0]
