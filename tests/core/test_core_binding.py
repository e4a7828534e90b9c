"""The extension module: what its stub promises, and which exceptions it raises."""

from __future__ import annotations

import ast
import inspect
import os
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dsb
from children import run
from dsb import _core, errors
from dsb.stream.binary import find_ffmpeg

PACKAGE = Path(errors.__file__).parent
STUB = PACKAGE / "_core.pyi"

# What Python or PyO3 adds to a class without being asked, or that `object` has anyway.
IMPLIED = {"__doc__", "__module__", "__repr__", "__hash__"} | {
    f"__{name}__" for name in ("eq", "ne", "lt", "le", "gt", "ge")
}

Definition = ast.FunctionDef | ast.ClassDef


def definitions(body: list[ast.stmt]) -> dict[str, Definition]:
    return {node.name: node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def imported(stub: ast.Module) -> dict[str, set[str]]:
    """The names that a stub takes from each module, none of them under another name."""
    found: dict[str, set[str]] = {}
    for node in stub.body:
        if isinstance(node, ast.ImportFrom):
            assert node.module is not None
            assert all(alias.asname is None for alias in node.names)
            found.setdefault(node.module, set()).update(alias.name for alias in node.names)
    return found


PARTS = {
    f"dsb._core_stubs.{path.stem}": definitions(ast.parse(path.read_text()).body)
    for path in (PACKAGE / "_core_stubs").glob("*.pyi")
    if path.stem != "__init__"
}
DOOR = ast.parse(STUB.read_text())
TOP_LEVEL = definitions(DOOR.body) | {
    name: node for part in PARTS.values() for name, node in part.items()
}
CLASSES = {name: node for name, node in TOP_LEVEL.items() if isinstance(node, ast.ClassDef)}
METHODS = [
    (cls, name, node)
    for cls, body in CLASSES.items()
    for name, node in definitions(body.body).items()
    if isinstance(node, ast.FunctionDef)
]


def is_property(node: ast.FunctionDef) -> bool:
    return [ast.unparse(decorator) for decorator in node.decorator_list] == ["property"]


def promised(node: ast.FunctionDef) -> list[tuple[str, object, object]]:
    """Name, kind and default of each parameter of a stub function, without `self` and `cls`."""
    args, empty = node.args, inspect.Parameter.empty
    plain = [*args.posonlyargs, *args.args]
    defaults = [empty] * (len(plain) - len(args.defaults)) + list(
        map(ast.literal_eval, args.defaults)
    )
    found: list[tuple[str, object, object]] = [
        (arg.arg, inspect.Parameter.POSITIONAL_OR_KEYWORD, default)
        for arg, default in zip(plain, defaults, strict=True)
    ]
    if args.vararg:
        found.append((args.vararg.arg, inspect.Parameter.VAR_POSITIONAL, empty))
    for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        value = empty if default is None else ast.literal_eval(default)
        found.append((arg.arg, inspect.Parameter.KEYWORD_ONLY, value))
    return [parameter for parameter in found if parameter[0] not in ("self", "cls")]


def actual(function: Callable[..., Any]) -> list[tuple[str, object, object]]:
    parameters = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, p.default) for p in parameters if p.name != "self"]


def test_stub_and_module_have_the_same_names() -> None:
    public = {name for name in vars(_core) if not name.startswith("_")}
    assert public == set(TOP_LEVEL)
    assert _core.__version__ == dsb.__version__


def test_the_stub_takes_every_definition_from_the_one_part_that_has_it() -> None:
    assert imported(DOOR) == {module: set(part) for module, part in PARTS.items()}
    assert len(TOP_LEVEL) == len(definitions(DOOR.body)) + sum(map(len, PARTS.values()))


def test_the_stub_exports_what_the_module_exports() -> None:
    (exported,) = (
        ast.literal_eval(node.value)
        for node in DOOR.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    assert sorted(exported) == sorted(_core.__all__)
    assert set(exported) == {*TOP_LEVEL, "__version__"}


@pytest.mark.parametrize("name", CLASSES)
def test_stub_and_class_have_the_same_members(name: str) -> None:
    cls = getattr(_core, name)
    members = set(vars(cls)) - IMPLIED
    # Python shows the buffer protocol as a method from 3.12 on.
    hidden = {"__buffer__", "__release_buffer__"}
    assert members - hidden == set(definitions(CLASSES[name].body)) - hidden


@pytest.mark.parametrize("name", [name for name in TOP_LEVEL if name not in CLASSES])
def test_functions_have_the_signature_of_the_stub(name: str) -> None:
    node = TOP_LEVEL[name]
    assert isinstance(node, ast.FunctionDef)
    assert actual(getattr(_core, name)) == promised(node)


@pytest.mark.parametrize(("cls", "name", "node"), METHODS)
def test_members_have_the_kind_and_signature_of_the_stub(
    cls: str, name: str, node: ast.FunctionDef
) -> None:
    owner = getattr(_core, cls)
    if is_property(node):
        assert inspect.isgetsetdescriptor(vars(owner)[name])
    elif name == "__new__":
        assert actual(owner) == promised(node)
    elif name.startswith("__") and name != "__exit__":
        assert name == "__buffer__" or callable(getattr(owner, name))
    else:
        assert actual(getattr(owner, name)) == promised(node)


@pytest.mark.parametrize("name", CLASSES)
def test_classes_are_final_and_frozen_and_know_where_they_live(name: str) -> None:
    cls = getattr(_core, name)
    assert cls.__module__ == "dsb._core"
    with pytest.raises(TypeError, match="not an acceptable base type"):
        type("Derived", (cls,), {})
    if "__new__" not in definitions(CLASSES[name].body):
        with pytest.raises(TypeError):
            cls()
    with pytest.raises(AttributeError):
        _core.VirtualClock().anything = 1  # type: ignore[attr-defined]


# -- errors -----------------------------------------------------------------------------------


def decoder(*argv: str, **options: Any) -> _core.FrameSource:
    return _core.FrameSource([str(part) for part in argv], name="clip", **options)


def python(code: str) -> tuple[str, str, str]:
    """A decoder that runs this program."""
    return sys.executable, "-c", code


def ffmpeg(*inputs: str) -> list[str]:
    output = ["-c:v", "rawvideo", "-pix_fmt", "rgb24", "-f", "nut", "pipe:1"]
    return [str(find_ffmpeg()), "-nostdin", "-loglevel", "level+warning", *inputs, *output]


TEST_PICTURES = "testsrc=size=64x48:rate=5"


@pytest.fixture
def live() -> Iterator[_core.FrameSource]:
    """A source that delivers five frames in each second of wall time."""
    with decoder(*ffmpeg("-re", "-f", "lavfi", "-i", TEST_PICTURES)) as source:
        yield source


def pushed(records: int, capacity: int = 4) -> _core.EmbeddingRing:
    ring = _core.EmbeddingRing(record_bytes=4096, capacity=capacity)
    for number in range(records):
        ring.push(bytes([number]) * 4096, number)
    return ring


def full_ring() -> None:
    ring = pushed(4)
    with ring.window(0, 1):
        ring.push(bytes(4096), 9)


def not_executable(path: Path) -> None:
    path.write_text("no program")
    decoder(str(path))


RAISED: list[tuple[type[Exception], str, Callable[[Path], object]]] = [
    (ValueError, "between 1 and", lambda _: _core.SlotLedger(0)),
    (errors.LedgerError, "owner 3", lambda _: _core.SlotLedger(4).evict([3])),
    (errors.FrameEvicted, "record 0 is gone", lambda _: pushed(5).window(0, 2)),
    (errors.FrameNotReady, "record 4", lambda _: pushed(4).window(3, 5)),
    (errors.RingFull, "full", lambda _: full_ring()),
    (errors.DecoderNotFound, "no-such-program", lambda _: decoder("no-such-program")),
    (errors.DecoderNotFound, "cannot start", lambda tmp: not_executable(tmp / "ffmpeg")),
    (errors.SourceError, "clip", lambda tmp: decoder(*ffmpeg("-i", str(tmp / "none.mp4")))),
    (errors.ProtocolError, "NUT", lambda _: decoder(*python("print('no video' * 99)"))),
]


@pytest.mark.parametrize(("expected", "message", "provoke"), RAISED)
def test_core_errors_are_the_documented_classes(
    expected: type[Exception],
    message: str,
    provoke: Callable[[Path], object],
    tmp_path: Path,
) -> None:
    with pytest.raises(expected, match=message) as raised:
        provoke(tmp_path)
    assert type(raised.value) is expected


def test_a_failed_decoder_says_how_it_ended() -> None:
    with pytest.raises(errors.DecodeError) as raised:
        decoder(*python("import sys; print('all is lost', file=sys.stderr); sys.exit(3)"))
    error = raised.value
    assert (error.returncode, error.frames) == (3, 0)
    assert "all is lost" in error.stderr


def test_output_that_is_no_video_comes_with_what_the_decoder_said() -> None:
    say = "import sys; print('all is lost', file=sys.stderr, flush=True); print('no video' * 99)"
    with pytest.raises(errors.ProtocolError) as raised:
        decoder(*python(say))
    error = raised.value
    assert (error.returncode, error.frames, error.stderr) == (None, 0, "all is lost")


def test_memory_that_the_machine_does_not_have_is_an_error_with_a_remedy() -> None:
    with pytest.raises(errors.RingMemoryError, match=r"no memory for a ring .*smaller capacity"):
        _core.EmbeddingRing(record_bytes=2**40, capacity=2**10)


def test_a_wait_ends_at_its_limit(live: _core.FrameSource) -> None:
    for wait in (live.frames.wait, live.frames.wait_until):
        with pytest.raises(TimeoutError):
            wait(10**12, timeout_s=0.01)
        with pytest.raises(ValueError, match="timeout_s"):
            wait(10**12, timeout_s=-1)


def test_nobody_waits_for_a_closed_source(live: _core.FrameSource) -> None:
    live.close()
    with pytest.raises(errors.SourceError, match="closed"):
        live.frames.wait(10**6)


@pytest.mark.parametrize(
    "call",
    [
        lambda: _core.SlotLedger(-1),
        lambda: _core.SlotLedger(4).append(-1, 1),
        lambda: _core.bootstrap_ratio([1], [1], [0], seed=-1),
        lambda: _core.WindowSpec(max_frames=1, rate=(-1, 1)),
        lambda: _core.WindowSpec(max_frames=1, rate=(1, 0)),
        lambda: _core.VirtualClock().charge(-1),
        lambda: _core.RealClock(0),
        lambda: _core.Scheduler(frame_rate=(1, 1), end_ns=-1),
        lambda: _core.select(_core.WindowSpec(max_frames=1), [3, 3], 5),
        lambda: decoder("x", overflow="wait"),
    ],
)
def test_an_argument_out_of_its_domain_is_a_value_error(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"\d|must") as raised:
        call()
    assert type(raised.value) is ValueError


# -- values -----------------------------------------------------------------------------------


def test_events_show_what_their_kind_has() -> None:
    scheduler = _core.Scheduler(
        frame_rate=(1, 1), end_ns=10**9, queries=[(10**9, -7)], polls=[(3, 0, 10**9, (3, 2))]
    )
    assert [repr(event) for event in scheduler] == [
        "Event(frames, t_ns=0, start=0, stop=1)",
        "Event(prefill, t_ns=0, start=0, stop=1)",
        "Event(poll, t_ns=0, key=3, index=0)",
        "Event(frames, t_ns=1000000000, start=1, stop=2)",
        "Event(prefill, t_ns=1000000000, start=1, stop=2)",
        "Event(query, t_ns=1000000000, key=-7)",
        "Event(end, t_ns=1000000000)",
    ]
    assert list(scheduler) == []


def test_an_interval_shows_its_numbers() -> None:
    interval = _core.bootstrap_ratio([1, 0], [1, 1], [0, 0])
    assert repr(interval) == "Interval(0.500000 in [0.500000, 0.500000], standard_error=0.000000)"


def test_numpy_arrays_are_sequences() -> None:
    hits, clusters = np.array([True, False, True, True]), np.array([5, 5, 9, 11], np.int32)
    assert repr(_core.bootstrap_ratio(hits, np.ones(4), clusters)) == repr(
        _core.bootstrap_ratio([1, 0, 1, 1], [1] * 4, [5, 5, 9, 11])
    )


# -- threads ----------------------------------------------------------------------------------


def test_threads_share_a_ledger_and_a_ring() -> None:
    ledger, ring = _core.SlotLedger(4_000), _core.EmbeddingRing(record_bytes=8, capacity=4_096)

    def work(owner: int) -> None:
        for _ in range(500):
            ledger.append(owner, 1)
            first = ring.push(owner.to_bytes(8, "little"), 0)
            assert bytes(ring.window(first, first + 1)) == owner.to_bytes(8, "little")

    threads = [threading.Thread(target=work, args=(owner,)) for owner in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(slot for owner in range(8) for slot in ledger.slots(owner)) == list(range(4_000))
    assert ring.newest == 4_000


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="needs a free-threaded Python"
)
def test_the_module_does_not_switch_the_interpreter_lock_on() -> None:
    code = "import sys, dsb._core; print(sys._is_gil_enabled())"
    environment = {**os.environ, "PYTHON_GIL": ""}
    shown = run([sys.executable, "-c", code], env=environment, text=True, check=True)
    assert shown.stdout.strip() == "False"
