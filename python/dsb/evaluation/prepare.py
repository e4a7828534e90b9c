"""Everything that a run needs before its first session: items, models, decoder, identity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsb import __version__
from dsb.benchmarks.item import Item
from dsb.config.address import is_live
from dsb.config.schema import RunConfig
from dsb.errors import BenchmarkError, ConfigError, SourceError
from dsb.evaluation.identity import data_digest, run_identity
from dsb.evaluation.manifest import make_manifest
from dsb.evaluation.plan import Plan, make_plan
from dsb.evaluation.session.session import Studio
from dsb.models.backend import Backend
from dsb.models.build import open_backend
from dsb.registry import BENCHMARKS
from dsb.routing.build import build_routers
from dsb.routing.rule import Rule
from dsb.stream.binary import ffmpeg_build, find_ffmpeg
from dsb.stream.decoding import DecoderChoice, choose_decoder
from dsb.stream.live import source_name


@dataclass(frozen=True)
class Prepared:
    """A run that could begin."""

    items: Sequence[Item]
    plan: Plan
    studio: Studio
    #: 32 hex digits.
    identity: str
    manifest: Mapping[str, Any]
    #: What the user should know before it begins.
    notes: Sequence[str] = ()


def prepare(config: RunConfig) -> Prepared:
    """Load the items and the models and find out which run this is.

    Raises:
        ConfigError, BenchmarkError, RegistryError: the configuration or the data are wrong.
        ModelError, MissingDependency, DecoderNotFound: something that the run needs is missing.
    """
    items = load_data(config)
    plan = make_plan(config, items)
    routers = build_routers(config.system.scheduler)
    build = ffmpeg_build(find_ffmpeg(config.video.ffmpeg))
    backends = open_backends(config)
    models = {name: backend.describe() for name, backend in backends.items()}
    videos = _videos(config, items)
    decoder = _decoder(config, videos, models)
    data = data_digest(
        [item.model_dump(mode="json") for item in items],
        videos,
    )
    identity = run_identity(
        config,
        data=data,
        models=models,
        ffmpeg=f"{build.sha256}+{decoder.hwaccel}" if decoder.hwaccel else build.sha256,
        version=__version__,
        rules={router.name: router.text for router in routers if isinstance(router, Rule)},
    )
    manifest = make_manifest(
        config,
        plan,
        identity=identity,
        data=data,
        models=models,
        ffmpeg=build,
        decoder=decoder,
    )
    studio = Studio(config, backends, routers, decoder)
    notes = [decoder.note] if decoder.note else []
    notes += _unconstrained(config, models)
    return Prepared(items, plan, studio, identity, manifest, notes)


def _decoder(
    config: RunConfig, videos: Mapping[str, Path], models: Mapping[str, Mapping[str, object]]
) -> DecoderChoice:
    """How videos are decoded, as found out on the first one that is there."""
    video = config.video
    wanted = None if video.decoder_threads == "auto" else video.decoder_threads
    playable = (path for path in videos.values() if path.is_file())
    example = next(playable, None)
    if not videos and video.hwaccel != "none":
        note = "a live source cannot be tried beforehand; it is decoded in software"
        return DecoderChoice(threads=wanted or 1, note=note)
    if example is None or (video.hwaccel == "none" and wanted is not None):
        return DecoderChoice(threads=wanted or 1)
    # A model that computes on the same cores is slowed down by whatever decoding takes.
    alone = all(str(model.get("device", "")).startswith("cuda") for model in models.values())
    try:
        return choose_decoder(
            example, hwaccel=video.hwaccel, threads=wanted, alone=alone, ffmpeg=video.ffmpeg
        )
    except SourceError:
        # Its session will say what is wrong with the video.
        return DecoderChoice(threads=wanted or 1)


def _unconstrained(config: RunConfig, models: Mapping[str, Mapping[str, object]]) -> Iterator[str]:
    """What to know about structured answers that nothing holds to their JSON schema."""
    for name, system in (("s1", config.system.s1), ("s2", config.system.s2)):
        grammar = str(models[name].get("grammar", ""))
        if system.answering == "structured" and grammar.startswith("none"):
            yield (
                f"structured answers of {name} are asked for and repaired once, not enforced: "
                f"{grammar.removeprefix('none: ')}"
            )


def _videos(config: RunConfig, items: Sequence[Item]) -> dict[str, Path]:
    """Every file that is played; what a live source will show has no fingerprint."""
    source = config.stream.source
    if source is None:
        data_dir = Path(config.dataset.data_dir)
        return {item.video: data_dir / item.video for item in items}
    return {} if is_live(source) else {source_name(source): Path(source)}


def load_data(config: RunConfig) -> list[Item]:
    """The items of a run; synthetic streams are made first where the configuration asks for them.

    Raises `BenchmarkError` when there is nothing to ask.
    """
    dataset = config.dataset
    data_dir = Path(dataset.data_dir)
    if dataset.synth is not None:
        from dsb.benchmarks.synth.generate import Plan as Streams
        from dsb.benchmarks.synth.generate import generate

        wanted = dataset.synth
        generate(data_dir, Streams(wanted.sessions, wanted.seed, wanted.level))
    source = BENCHMARKS.load(dataset.format)
    if dataset.protocol not in source.protocols:
        raise ConfigError(
            f"dataset.protocol: benchmark {dataset.format!r} has no protocol {dataset.protocol!r}; "
            f"known: {', '.join(source.protocols)}"
        )
    items = source.items(data_dir, dataset.benchmark, dataset.shard, dataset.max_samples)
    if not items:
        raise BenchmarkError(
            f"benchmark {dataset.benchmark!r} below {data_dir} holds no item to ask; "
            "`dsb data stats` shows what is there"
        )
    if config.stream.source is None:
        return items
    # One stream is one cluster, whatever the items call it.
    name = source_name(config.stream.source)
    return [item.model_copy(update={"video": name}) for item in items]


def open_backends(config: RunConfig) -> dict[str, Backend]:
    """`s1` and `s2` -> backend; one object when both use the same model.

    Raises:
        ConfigError: they contradict each other.
        ModelError: one of them cannot be loaded.
    """
    cache = config.system.streaming_embed_cache
    systems = {"s1": config.system.s1, "s2": config.system.s2}
    models = {name: system.model or config.model for name, system in systems.items()}
    threads = {model.threads for model in models.values()} - {None}
    if len(threads) > 1:
        raise ConfigError(
            f"model.threads is {models['s1'].threads} for s1 and {models['s2'].threads} for s2, but the threads of a "
            "process are the same for all its models; give both the same number, or leave one out"
        )
    loaded: dict[str, Backend] = {}
    backends: dict[str, Backend] = {}
    for name, model in models.items():
        key = model.model_dump_json()
        if key not in loaded:
            loaded[key] = open_backend(model, cache)
        backends[name] = loaded[key]
    return backends
