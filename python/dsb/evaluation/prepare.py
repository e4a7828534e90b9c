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
from dsb.errors import SourceError
from dsb.evaluation.identity import data_digest, run_identity
from dsb.evaluation.manifest import make_manifest
from dsb.evaluation.plan import Plan, make_plan
from dsb.evaluation.questions import Questions, load_questions
from dsb.models.build import Bring, fetch_missing, identify_models
from dsb.routing.build import build_routers, router_identities
from dsb.stream.binary import ffmpeg_build, find_ffmpeg
from dsb.stream.decoding import DecoderChoice, choose_decoder
from dsb.stream.live import source_name


@dataclass(frozen=True)
class Prepared:
    """A run that could begin."""

    config: RunConfig
    questions: Questions
    plan: Plan
    decoder: DecoderChoice
    #: 32 hex digits.
    identity: str
    manifest: Mapping[str, Any]
    #: What the user should know before it begins.
    notes: Sequence[str] = ()


def prepare(config: RunConfig, bring: Bring = fetch_missing) -> Prepared:
    """Load the items and find out which run this is; no model is loaded.

    `bring` fetches checkpoints that are not here, see `identify_models`; gigabytes are worth nothing
    without a question.

    Raises:
        ConfigError, BenchmarkError, RegistryError: the configuration or the data are wrong.
        ModelError, MissingDependency, DecoderNotFound: something that the run needs is missing.
    """
    questions = load_questions(config)
    items = questions.items
    plan = make_plan(config, items, questions.protocol)
    routers = build_routers(config.system.scheduler)
    build = ffmpeg_build(find_ffmpeg(config.video.ffmpeg))
    models = identify_models(config.models, config.system.streaming_embed_cache, bring)
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
        routers=router_identities(config.system.scheduler, routers),
        protocol=questions.protocol.asking,
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
    notes = [*questions.notes, *([decoder.note] if decoder.note else [])]
    notes += _unconstrained(config, models)
    return Prepared(config, questions, plan, decoder, identity, manifest, notes)


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
