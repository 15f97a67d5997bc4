"""Pickles of arrays are read in every protocol; programs are refused and do nothing."""

import os
import pickle
import pickletools
import struct
import tracemalloc
from collections import Counter, OrderedDict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from training.data import unpickle
from training.data.unpickle import RefusedError

ARRAYS = {
    "float32": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "float64": np.array([1.5, -np.inf, np.nan]),
    "big endian": np.arange(5, dtype=">f4"),
    "columns first": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "whole numbers": np.array([[1, -2], [3, 4]]),
    "flags": np.array([True, False]),
    "text": np.array(["one", "twenty two"]),
    "text as objects": np.array(["one", "twenty two"], dtype=object),
    "a part of an array": np.arange(20.0).reshape(4, 5)[1:3, ::2],
}


def write(tmp_path, content):
    path = tmp_path / "file.pkl"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_come_back_equal(kind, protocol, tmp_path):
    expected = ARRAYS[kind]
    found = unpickle.load(write(tmp_path, pickle.dumps({"x": [expected, expected]}, protocol=protocol)))
    for stored in found["x"]:
        array = unpickle.array(stored)
        np.testing.assert_array_equal(array, expected.astype(str) if expected.dtype == object else expected)
        assert array.dtype.kind == ("U" if expected.dtype == object else expected.dtype.kind)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_containers_and_numbers_come_back(protocol, tmp_path):
    content = {"a": [1, -(2**70), 2.5, None, True], "b": ("text", "ä"), "c": [np.float32(0.5), np.int64(7)]}
    found = unpickle.load(write(tmp_path, pickle.dumps(content, protocol=protocol)))
    assert found == {**content, "c": [0.5, 7]}
    assert unpickle.array(found["c"]).tolist() == [0.5, 7.0]


def test_files_of_older_and_newer_numpy_are_the_same_to_us(tmp_path):
    newer = pickle.dumps(np.arange(3.0), protocol=3)
    assert b"numpy._core.multiarray" in newer
    older = newer.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert unpickle.array(unpickle.load(write(tmp_path, older))).tolist() == [0, 1, 2]


class Touch:
    """Writes a file when it is unpickled carelessly."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_program_is_refused_by_name_and_does_nothing(protocol, tmp_path):
    trace = tmp_path / "trace"
    path = write(tmp_path, pickle.dumps({"train": Touch(trace)}, protocol=protocol))
    with pytest.raises(RefusedError, match=r"file.pkl: .*(posix|nt).mkdir, expected arrays of numpy only"):
        unpickle.load(path)
    assert not trace.exists()
    with path.open("rb") as file:
        pickle.load(file)
    assert trace.exists(), "the test would not have seen it"


DATES = np.zeros(2, "M8[s]")
OTHERS = [OrderedDict(a=1), {1, 2}, range(3), np.array([None], dtype=object), complex(1, 2), bytearray, DATES]


@pytest.mark.parametrize("value", OTHERS, ids=repr)
def test_other_objects_are_refused(value, tmp_path):
    with pytest.raises(RefusedError, match="expected"):
        found = unpickle.load(write(tmp_path, pickle.dumps(value)))
        raise AssertionError(f"{found!r} was read")


def assemble(*parts):
    """A pickle written by hand: protocol 2, operations, stop."""
    return b"\x80\x02" + b"".join(parts) + b"."


DTYPE = b"cnumpy\ndtype\n"
FORGED = {
    "attribute of a function": assemble(b"cnumpy.core.multiarray\n_reconstruct\n", b"}X\x01\x00\x00\x00aK\x01sb"),
    "attribute of the class": assemble(b"cnumpy\nndarray\n", b"}X\x01\x00\x00\x00aK\x01sb"),
    "a call of the class": assemble(b"cnumpy\nndarray\n", b"K\x05\x85R"),
    "a large array at once": assemble(
        b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy\nndarray\n", b"J\xff\xff\xff\x7f\x85C\x01b\x87R"
    ),
    "a dtype of pointers": b"",
    "a dtype with fields": assemble(
        DTYPE, b"X\x02\x00\x00\x00V8K\x00K\x01\x87R", b"(K\x03X\x01\x00\x00\x00|NNNK\x08K\x01K\x00tb"
    ),
    "a dtype by code of Python": assemble(DTYPE, b"X\x06\x00\x00\x00objectK\x00K\x01\x87R"),
    "a name inside a module": b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.dump\x93.",
    "a module's own functions": assemble(b"cnumpy\nload\n"),
    "an extension": assemble(b"\x82\x01"),
    "an outside object": assemble(b"K\x01Q"),
    "an instance": assemble(b"(inumpy\nndarray\n"),
    "a memory place far away": assemble(b"K\x01r\xff\xff\xff\x7f"),
    "more bytes than there are": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"abc.",
    "text that goes on for ever": b"\x80\x04\x8d" + struct.pack("<Q", (1 << 63) - 1) + b"abc.",
    "nothing": b"",
    "no pickle": b"PK\x03\x04 a zip file",
    "no end": b"\x80\x04]",
    "an empty stack": assemble(b"a"),
    "a list as a key": assemble(b"}]K\x01s"),
}


@pytest.mark.parametrize("case", FORGED)
def test_forged_programs_are_refused(case, tmp_path):
    if case == "a dtype of pointers":  # may be named, but carries no bytes
        content = pickle.dumps(np.zeros(2, np.int64), protocol=3).replace(
            b"X\x02\x00\x00\x00i8", b"X\x02\x00\x00\x00O8"
        )
        assert content != pickle.dumps(np.zeros(2, np.int64), protocol=3)
    else:
        content = FORGED[case]
    with pytest.raises(RefusedError, match=r"^file\.pkl: "):
        unpickle.load(write(tmp_path, content))


def test_a_large_file_is_refused_unread(tmp_path):
    path = write(tmp_path, pickle.dumps([1, 2, 3]))
    with pytest.raises(RefusedError, match="bytes, expected at most 5"):
        unpickle.load(path, max_bytes=5)


def test_a_long_program_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(unpickle, "MAX_OPERATIONS", 50)
    with pytest.raises(RefusedError, match="more than 50 operations"):
        unpickle.load(write(tmp_path, pickle.dumps(list(range(100)))))


@pytest.mark.parametrize("protocol", [2, 4])
def test_damage_is_refused_or_harmless(protocol, tmp_path):
    honest = pickle.dumps({"a": ARRAYS["float32"], "b": ["x", "y"]}, protocol=protocol)
    rng = np.random.default_rng(protocol)
    outcomes = Counter()
    for _ in range(1500):
        content = np.frombuffer(honest, np.uint8).copy()
        content[rng.integers(len(content), size=rng.integers(1, 5))] = rng.integers(256)
        path = write(tmp_path, content.tobytes())
        try:
            unpickle.load(path)
            outcomes["read"] += 1
        except RefusedError:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 500
    assert outcomes["read"] > 50  # bytes of numbers only


def puts(text: bytes) -> bytes:
    """Text of a given content, kept in memory place 0 and taken off the stack again."""
    return b"X" + struct.pack("<I", len(text)) + text + b"q\x000"


LONG = puts(b"x" * 100_000)
SWELLING = {
    "a long text in many places": LONG + b"](" + b"h\x00" * 10_000 + b"e",
    "a long text in an array of objects": LONG
    + b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01M\x10\x27\x85"
    + DTYPE
    + b"X\x02\x00\x00\x00O8K\x00K\x01\x87R(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3ftb\x89]("
    + b"h\x00" * 10_000
    + b"etb",
    "a long text encoded again and again": LONG
    + b"]("
    + b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R" * 1_000
    + b"e",
    "appends without end": b"]" + b"K\x01a" * 20_000,
    "empty dictionaries without end": b"](" + b"}" * 40_000 + b"e",
}


@pytest.mark.parametrize("case", SWELLING)
def test_a_small_file_takes_little_memory(case, tmp_path, monkeypatch):
    monkeypatch.setattr(unpickle, "MAX_OPERATIONS", 30_000)
    path = write(tmp_path, assemble(SWELLING[case]))
    tracemalloc.start()
    try:
        with pytest.raises(RefusedError):
            found = unpickle.load(path)
            unpickle.array(found)
        assert tracemalloc.get_traced_memory()[1] < 200_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("kind", ["whole numbers", "tuples", "fractions"])
def test_keys_that_can_be_made_to_collide_are_refused(kind, protocol, tmp_path):
    keys = {
        "whole numbers": [n * (2**61 - 1) for n in range(30_000)],
        "tuples": [tuple(-1 - (n >> bit & 1) for bit in range(15)) for n in range(2_000)],
        "fractions": [0.5],
    }[kind]
    content = pickle.dumps(["x"], protocol=protocol)
    for key in keys[:2]:
        assert pickle.loads(content)
        with pytest.raises(RefusedError, match="a key that is not text"):
            unpickle.load(write(tmp_path, pickle.dumps({"a": {key: 1}}, protocol=protocol)))
    items = b"".join(pickle.dumps(key, protocol=2)[2:-1] + b"N" for key in keys)
    with pytest.raises(RefusedError, match="a key that is not text"):
        unpickle.load(write(tmp_path, assemble(b"}(", items, b"u")))


def test_every_allowed_operation_exists():
    assert unpickle.OPERATIONS <= {operation.name for operation in pickletools.opcodes}


@pytest.mark.parametrize("value", [None, {}, [], [1, "a"], "text", [[1], [2]]], ids=repr)
def test_what_is_no_array_is_none(value):
    assert unpickle.array(value) is None


HONEST = [
    pickle.dumps({"x": [array, 1.5, "text"], "y": (array, None)}, protocol=p)
    for array in ARRAYS.values()
    for p in (2, 4)
]
OPCODES = st.sampled_from([code.code.encode("latin-1") for code in pickletools.opcodes])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    honest=st.sampled_from(HONEST),
    at=st.floats(0, 1, exclude_max=True),
    put=st.lists(OPCODES | st.binary(max_size=8), max_size=6).map(b"".join),
    dropped=st.integers(0, 10),
)
def test_a_pickle_with_other_bytes_in_it_is_read_or_refused(tmp_path, honest, at, put, dropped):
    place = int(at * len(honest))
    path = write(tmp_path, honest[:place] + put + honest[place + dropped :])
    tracemalloc.start()
    try:
        unpickle.load(path)
    except RefusedError as error:
        assert str(error)
    finally:
        _now, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert most < 50_000_000


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(program=st.lists(OPCODES | st.binary(max_size=8), max_size=40).map(b"".join))
def test_a_program_of_any_operations_does_nothing(tmp_path, program):
    try:
        unpickle.load(write(tmp_path, b"\x80\x04" + program + b"."))
    except RefusedError as error:
        assert str(error)
