"""Reads pickles as data: a small interpreter that knows containers, numbers and texts, and calls nothing from the file.

Python's own unpickler can be restricted too, but still hands objects to attribute setters and grows its memo to any
index that a file claims. Here every opcode is spelled out, and a name in a file is only a key into the reader's table.
"""

from __future__ import annotations

import pickletools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from dp2.errors import UnreadableCheckpoint, UnsafeCheckpoint


class Source(Protocol):
    """What a pickle is read from: an `mmap.mmap` or `io.BytesIO`, whose reads never allocate more than there is."""

    def read(self, n: int, /) -> bytes: ...
    def readline(self) -> bytes: ...
    def tell(self) -> int: ...


class Inert(dict[Any, Any]):
    """An object of a foreign class on the allow-list: its items, and nothing of the class's behaviour."""


@dataclass(frozen=True)
class Name:
    """A module-level name in a pickle that the reader knows.

    Attributes:
        text: module and name, dotted.
        make: what a call of it yields; None where it may only be mentioned, e.g. a storage type.
    """

    text: str
    make: Callable[..., Any] | None = None


@dataclass(eq=False)
class Pending:
    """An object that a pickle creates empty and fills by its BUILD step.

    Attributes:
        build: state → the finished object.
    """

    build: Callable[[Any], Any]
    memo_keys: list[int] = field(default_factory=list)


_NUMBERS = frozenset({"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"})
_TEXTS = frozenset(
    {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
)
_BYTES = frozenset({"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"})
_LITERALS = _NUMBERS | _TEXTS | _BYTES
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_DICTS = (dict, OrderedDict, Inert)
_KEYS = (str, int, float, bytes, tuple, type(None))


def read_pickle(
    source: Source, names: Mapping[str, Name], what: str, persistent: Callable[[Any], Any] | None = None
) -> Any:
    """The object that the next pickle of `source` describes; the position is then just behind it.

    Args:
        names: dotted name → what it stands for; every other name is refused.
        what: the file, for errors.
        persistent: persistent identifier → object, e.g. a storage.

    Raises:
        UnsafeCheckpoint: it names, calls or builds something that is not plain data. Nothing was executed.
        UnreadableCheckpoint: it is no whole pickle.
    """
    machine = _Machine(names, what, persistent)
    try:
        for opcode, argument, _ in pickletools.genops(source):  # type: ignore[arg-type]
            if opcode.name == "STOP":
                return machine.stack.pop()
            machine.step(opcode.name, argument)
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, MemoryError, RecursionError) as error:
        raise UnreadableCheckpoint(f"{what}: is no whole checkpoint ({type(error).__name__}: {error}).") from error
    raise UnreadableCheckpoint(f"{what}: ends in the middle.")


class _Machine:
    def __init__(self, names: Mapping[str, Name], what: str, persistent: Callable[[Any], Any] | None) -> None:
        self.stack: list[Any] = []
        self._below: list[list[Any]] = []  # stacks under each open mark
        self._memo: dict[int, Any] = {}
        self._names = names
        self._what = what
        self._persistent = persistent

    def step(self, name: str, argument: Any) -> None:
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            self.stack[-_TUPLES[name] :] = [tuple(self._pop(_TUPLES[name]))]
        else:
            method = getattr(self, f"_op_{name.lower()}", None)
            if method is None:
                raise self._unsafe(f"uses the opcode {name}")
            method(argument)

    def _op_proto(self, _: Any) -> None:
        """Marks the protocol's version; the opcodes speak for themselves."""

    _op_frame = _op_proto

    def _op_mark(self, _: Any) -> None:
        self._below.append(self.stack)
        self.stack = []

    def _op_pop(self, _: Any) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self._since_mark()

    def _op_pop_mark(self, _: Any) -> None:
        self._since_mark()

    def _op_dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def _op_tuple(self, _: Any) -> None:
        items = self._since_mark()
        self.stack.append(tuple(items))

    def _op_list(self, _: Any) -> None:
        items = self._since_mark()
        self.stack.append(items)

    def _op_dict(self, _: Any) -> None:
        items = self._since_mark()
        self.stack.append({})
        self._set_items(items)

    def _op_append(self, _: Any) -> None:
        self._extend([self.stack.pop()])

    def _op_appends(self, _: Any) -> None:
        self._extend(self._since_mark())

    def _op_setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set_items([key, value])

    def _op_setitems(self, _: Any) -> None:
        self._set_items(self._since_mark())

    def _op_put(self, key: int) -> None:
        value = self.stack[-1]
        self._memo[key] = value
        if isinstance(value, Pending):
            value.memo_keys.append(key)

    _op_binput = _op_long_binput = _op_put

    def _op_memoize(self, _: Any) -> None:
        self._op_put(len(self._memo))

    def _op_get(self, key: int) -> None:
        self.stack.append(self._memo[key])

    _op_binget = _op_long_binget = _op_get

    def _op_global(self, argument: str) -> None:
        module, name = argument.split(" ", 1)
        self._push_name(module, name)

    def _op_stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._push_name(module, name)

    def _op_reduce(self, _: Any) -> None:
        arguments, name = self.stack.pop(), self.stack.pop()
        if not isinstance(name, Name) or name.make is None or not isinstance(arguments, tuple):
            raise self._unsafe(f"calls {name.text if isinstance(name, Name) else type(name).__name__}")
        try:
            self.stack.append(name.make(*arguments))
        except UnsafeCheckpoint as error:
            raise UnsafeCheckpoint(f"{self._what}: {error}") from error

    _op_newobj = _op_reduce

    def _op_binpersid(self, _: Any) -> None:
        if self._persistent is None:
            raise self._unsafe("refers to an object outside of it")
        self.stack.append(self._persistent(self.stack.pop()))

    def _op_build(self, _: Any) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Pending):
            try:
                finished = target.build(state)
            except UnsafeCheckpoint as error:
                raise UnsafeCheckpoint(f"{self._what}: {error}") from error
            self.stack[-1] = finished
            for key in target.memo_keys:
                self._memo[key] = finished
        elif not (isinstance(target, (OrderedDict, Inert)) and isinstance(state, dict)):
            raise self._unsafe(f"sets the state of {type(target).__name__}")
        # The attributes of a dict subclass (a state dict's _metadata, EasyDict's second view) are of no use here.

    def _push_name(self, module: Any, name: Any) -> None:
        known = self._names.get(f"{module}.{name}")
        if known is None:
            raise self._unsafe(f"names {module}.{name}")
        self.stack.append(known)

    def _extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise self._unsafe(f"appends to {type(self.stack[-1]).__name__}")
        self.stack[-1].extend(items)

    def _set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) not in _DICTS:
            raise self._unsafe(f"sets items of {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, _KEYS):
                raise self._unsafe(f"uses {type(key).__name__} as a key")
            target[key] = value

    def _since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self._below.pop()
        return items

    def _pop(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise IndexError("stack underflow")
        return self.stack[-count:]

    def _unsafe(self, does: str) -> UnsafeCheckpoint:
        return UnsafeCheckpoint(f"{self._what}: {does}, which a checkpoint has no need to. Nothing of it was executed.")
