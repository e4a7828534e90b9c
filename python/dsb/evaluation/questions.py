"""The questions of a run: which items of which benchmark, under which protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dsb.benchmarks.benchmark import Benchmark
from dsb.benchmarks.build import find_protocol
from dsb.benchmarks.item import TASKS, Item
from dsb.benchmarks.layout import all_items_file, take
from dsb.benchmarks.protocol import Protocol
from dsb.benchmarks.root import root_of
from dsb.config.schema import RunConfig, SynthConfig
from dsb.errors import BenchmarkError, ConfigError
from dsb.stream.live import source_name


@dataclass(frozen=True)
class Questions:
    """What a run asks."""

    items: Sequence[Item]
    benchmark: Benchmark
    protocol: Protocol
    #: Synthetic streams that are not made yet; 0 where all videos are the user's business.
    streams_to_make: int = 0
    #: What the user should know about where they were found.
    notes: Sequence[str] = ()


def load_questions(config: RunConfig, *, make_streams: bool = True) -> Questions:
    """The items of a run, as the benchmark's loader selects them.

    Synthetic streams are made first where the configuration asks for them. Without `make_streams`
    nothing is written: their items are then computed, which gives the same ones.

    Raises:
        RegistryError: no benchmark has this name.
        ConfigError: it has no such protocol, or one whose prompts have no place for what S2 looks up.
        BenchmarkError: items are missing or wrong, or there is nothing to ask.
    """
    dataset = config.dataset
    root = root_of(dataset)
    benchmark, protocol = find_protocol(dataset.format, dataset.protocol)
    _check_memory(protocol, config)
    to_make = 0
    if dataset.synth is not None and make_streams:
        _make(root.items_dir, dataset.synth)
    elif dataset.synth is not None and not all_items_file(root.items_dir).is_file():
        to_make = dataset.synth.sessions
    # A file of other questions about the streams is there before they are.
    if to_make and dataset.synth is not None and dataset.benchmark in ("all", *TASKS):
        computed = _computed(dataset.synth)
        if dataset.benchmark != "all":
            computed = [item for item in computed if item.task == dataset.benchmark]
        items = take(computed, root, dataset.shard, dataset.max_samples)
    else:
        items = benchmark.items(root, dataset.benchmark, dataset.shard, dataset.max_samples)
    if not items:
        raise BenchmarkError(
            f"benchmark {dataset.benchmark!r} below {root.items_dir} holds no item to ask; "
            "`dsb data stats` shows what is there"
        )
    items = _on_one_stream(items, config.stream.source)
    return Questions(items, benchmark, protocol, to_make, (root.note,) if root.note else ())


def _check_memory(protocol: Protocol, config: RunConfig) -> None:
    """What S2 looks up must be shown to it."""
    for task, prompt in protocol.prompts.items():
        if config.system.s2.retrieve and "{memory}" not in prompt:
            raise ConfigError(
                f"system.s2.retrieve is {config.system.s2.retrieve}, but the prompt of {task} in protocol "
                f"{protocol.name!r} never shows what was found; set it to 0, or take another dataset.protocol"
            )


def _on_one_stream(items: list[Item], source: str | None) -> list[Item]:
    """One stream is one cluster, whatever the items call it."""
    if source is None:
        return items
    name = source_name(source)
    return [item.model_copy(update={"video": name}) for item in items]


def _make(data_dir: Path, synth: SynthConfig) -> None:
    from dsb.benchmarks.synth.generate import Plan, generate

    generate(data_dir, Plan(synth.sessions, synth.seed, synth.level))


def _computed(synth: SynthConfig) -> list[Item]:
    from dsb.benchmarks.synth.generate import Plan, make_items

    return make_items(Plan(sessions=synth.sessions, seed=synth.seed, level=synth.level))
