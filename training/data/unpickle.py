"""Numbers and text out of a pickle that may be hostile: nothing in it is executed, everything unexpected is refused.

A pickle is a program. Here it may build plain containers and name a handful of functions of numpy, and even these are
stand-ins of our own: numpy's can be made to read foreign memory by a forged dtype.
"""

from __future__ import annotations

import math
import pickle
import pickletools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

MAX_BYTES = 32 << 30  # of a file; the largest that MMSA publishes has 13 GB
MAX_OPERATIONS = (
    3_000_000  # of the pickle's program, of which each takes up to 100 bytes; a list of a million strings takes 2
)
MAX_TEXT_BYTES = (
    512_000_000  # of an array of text, which gives every entry the length of the longest; MOSEI's has 200 MB
)
MAX_RANK = 8  # axes of an array

# fmt: off
OPERATIONS = frozenset({
    "PROTO", "FRAME", "STOP", "MARK", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET",
    "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
    "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "LIST", "APPEND", "APPENDS",
    "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "POP", "POP_MARK", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD",
})
# fmt: on


class RefusedError(ValueError):
    """The file is no pickle of plain arrays; the message says what it holds instead."""


def load(path: Path, *, max_bytes: int = MAX_BYTES) -> Any:
    """Read a pickle.

    Args:
        path: The file.
        max_bytes: A longer file is refused unread.

    Returns:
        Containers, numbers and text as they are; where an array was stored stands a `Stored`, see `array`.

    Raises:
        RefusedError: If the file is too long or damaged, or names anything but numpy's arrays.
    """
    size = path.stat().st_size
    if size > max_bytes:
        raise RefusedError(f"{path.name}: {size} bytes, expected at most {max_bytes}")
    try:
        with path.open("rb") as file:
            _scan(_Bounded(file, size))
        with path.open("rb") as file:
            return _Unpickler(_Bounded(file, size), size).load()
    except RefusedError as error:
        raise RefusedError(f"{path.name}: {error}") from None
    except Exception as error:  # a damaged program may fail in any way that Python knows
        raise RefusedError(f"{path.name}: {type(error).__name__}: {error}, expected an undamaged pickle") from error


def array(value: Any) -> np.ndarray | None:
    """The array that `load` found at a place; a list of numbers or of strings counts; None if it is neither."""
    if isinstance(value, Stored):
        return value.array
    if isinstance(value, list) and value:
        for kind in ((bool, int, float, np.number, np.bool_), (str,)):
            if all(isinstance(entry, kind) for entry in value):
                return _texts(value) if kind == (str,) else np.array(value)
    return None


class _Bounded:
    """A file that does not promise more bytes than it has: sizes in a pickle are only claims."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size

    def tell(self) -> int:
        return self._file.tell()

    def read(self, count: int) -> bytes:
        if not 0 <= count <= self._size - self._file.tell():
            raise RefusedError(f"a part of {count} bytes is claimed where the file ends")
        return self._file.read(count)

    def readline(self) -> bytes:
        return self._file.readline()


def _scan(file: _Bounded) -> None:
    """Read the program without running it: operations by name, their number, and that all keys are text."""
    stack = _Stack()
    for number, (operation, argument, _) in enumerate(pickletools.genops(file)):
        if number >= MAX_OPERATIONS:
            raise RefusedError(f"more than {MAX_OPERATIONS} operations, expected fewer")
        if operation.name not in OPERATIONS:
            raise RefusedError(f"operation {operation.name}, expected arrays and plain containers only")
        if operation.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument > number:
            raise RefusedError(f"memory place {argument} in operation {number}, expected places in order")
        stack.apply(operation, argument)


class _Stack:
    """What the program would have on its stack: of each entry only whether it is text, or a mark.

    Keys must be text, whose hashes nobody foresees: those of numbers and tuples can be made to collide, and 30,000 such
    keys take a dictionary minutes.
    """

    MARK = object()

    def __init__(self) -> None:
        self._entries: list[object] = []
        self._memo: dict[int, object] = {}

    def apply(self, operation: pickletools.OpcodeInfo, argument: Any) -> None:
        """Do one operation."""
        match operation.name:
            case "MARK":
                self._entries.append(self.MARK)
            case "GET" | "BINGET" | "LONG_BINGET":
                self._entries.append(self._memo[argument])
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = self._entries[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = self._entries[-1]
            case _:
                items = self._take(operation.stack_before)
                keys = {"SETITEM": items[1:2], "SETITEMS": items[1::2], "DICT": items[::2]}.get(operation.name, [])
                if not all(key is True for key in keys):
                    raise RefusedError("a key that is not text, expected names")
                self._entries += [kind is pickletools.pyunicode for kind in operation.stack_after]

    def _take(self, kinds: Sequence[object]) -> list[object]:
        """Remove what an operation takes from the stack: and all above the last mark where it wants one."""
        above: list[object] = []
        if pickletools.markobject in kinds:
            while (entry := self._entries.pop()) is not self.MARK:
                above.append(entry)
            kinds = kinds[: kinds.index(pickletools.markobject)]
        fixed = [self._entries.pop() for _ in kinds]
        return [*reversed(fixed), *reversed(above)]


class _Token:
    """Stands for numpy's ndarray class, which is only ever named."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        raise RefusedError("the class of arrays is changed, expected it to be named only")


class _Function(_Token):
    """Stands for a function of numpy: can be called, and nothing else."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)


class _Type:
    """A dtype as a pickle builds it: its code first, then its byte order."""

    __slots__ = ("code", "order")

    def __init__(self, code: object, *_: object) -> None:
        if not isinstance(code, str) or not re.fullmatch(r"b1|[iu][1248]|f[248]|[US]\d{1,6}|O8?", code):
            raise RefusedError(f"dtype {code!r:.80}, expected numbers or text")
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple) -> None:
        if state[1] not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):
            raise RefusedError(f"dtype {self.code} with {state!r:.80}, expected a plain one")
        self.order = state[1]

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.code).newbyteorder(self.order)


class Stored:
    """An array as a pickle builds it: empty first, then filled.

    Text stays a list until it is asked for, so that a thousand arrays of the same texts cost no more than the file.
    """

    __slots__ = ("_content",)

    def __init__(self) -> None:
        self._content: Callable[[], np.ndarray] | None = None

    @property
    def array(self) -> np.ndarray | None:
        """The array; None where the pickle never filled it."""
        return None if self._content is None else self._content()

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, fortran, content = state
        self._content = _checked(content, kind, shape, "F" if fortran else "C")


def _checked(content: Any, kind: Any, shape: Any, order: Any) -> Callable[[], np.ndarray]:
    """Return a function that makes an array, once its parts are known to fit."""
    if not isinstance(kind, _Type) or not isinstance(shape, tuple) or len(shape) > MAX_RANK or order not in ("C", "F"):
        raise RefusedError("an array without shape or dtype, expected both")
    if not all(type(length) is int and length >= 0 for length in shape):
        raise RefusedError(f"an array of shape {shape!r:.80}, expected whole numbers")
    count = math.prod(shape)
    if kind.code.startswith("O"):
        if not isinstance(content, list) or not all(isinstance(entry, str) for entry in content):
            raise RefusedError("an array of objects, expected numbers or text")
        if len(content) != count:
            raise RefusedError(f"an array of shape {shape} with {len(content)} entries")
        return lambda: _texts(content).reshape(shape, order=order)
    if not isinstance(content, bytes | bytearray) or len(content) != count * kind.dtype.itemsize:
        raise RefusedError(f"an array of shape {shape} and {kind.dtype} whose content does not fill it")
    made = np.frombuffer(content, kind.dtype).reshape(shape, order=order)
    return lambda: made


def _texts(texts: list[str]) -> np.ndarray:
    """An array of text, for which a pickle may name one long text many times."""
    needed = 4 * len(texts) * max(map(len, texts), default=0)
    if needed > MAX_TEXT_BYTES:
        raise RefusedError(f"an array of text that needs {needed:,} bytes, expected at most {MAX_TEXT_BYTES:,}")
    return np.array(texts)


def _reconstruct(named: Any, shape: Any, _: Any) -> Stored:
    if named is not NDARRAY or shape != (0,):
        raise RefusedError("an array that is not made empty, expected numpy's way to store arrays")
    return Stored()


def _from_buffer(content: Any, kind: Any, shape: Any, order: Any) -> Stored:
    made = Stored()
    made._content = _checked(content, kind, shape, order)
    return made


def _scalar(kind: Any, content: Any) -> Any:
    return _checked(content, kind, (), "C")().item()  # a number of Python: numpy's own could still be changed


NDARRAY = _Token()
GLOBALS: dict[tuple[str, str], _Token] = {
    ("numpy", "ndarray"): NDARRAY,
    ("numpy", "dtype"): _Function(_Type),
}
for _core in ("numpy.core", "numpy._core"):
    GLOBALS[f"{_core}.multiarray", "_reconstruct"] = _Function(_reconstruct)
    GLOBALS[f"{_core}.multiarray", "scalar"] = _Function(_scalar)
    GLOBALS[f"{_core}.numeric", "_frombuffer"] = _Function(_from_buffer)  # protocol 5


class _Unpickler(pickle.Unpickler):
    """Finds nothing but `GLOBALS` and an encoder; no module is ever imported.

    Args:
        file: The program.
        size: Its bytes, and the most that it may encode: every text once.
    """

    def __init__(self, file: _Bounded, size: int) -> None:
        super().__init__(file)
        self._left = size

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("_codecs", "encode"), ("codecs", "encode")):  # bytes, where the protocol has none
            return _Function(self._encode)
        if (module, name) not in GLOBALS:
            raise RefusedError(f"it names {module}.{name}, expected arrays of numpy only; nothing was executed")
        return GLOBALS[module, name]

    def _encode(self, text: Any, encoding: Any) -> bytes:
        if not isinstance(text, str) or encoding != "latin1":
            raise RefusedError("an encoded text, expected bytes written as latin1")
        self._left -= len(text)
        if self._left < 0:
            raise RefusedError("more encoded bytes than the file has, expected each text to be encoded once")
        return text.encode("latin1")
