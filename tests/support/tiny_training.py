"""Miniature settings of the embedded model's training, shared by its tests."""

from __future__ import annotations

import dataclasses

from dsb.models.tiny.settings import (
    BankStage,
    Bucket,
    LanguageStage,
    Phase,
    TrainingSettings,
    VisionStage,
)

#: Two phases with every shape of batch: text only, several units, both frame rates.
MINIATURE = TrainingSettings(
    seed=3,
    processes=1,
    vision=VisionStage(steps=2, streams=4, warmup_steps=1),
    bank=BankStage(streams=3, duration_s=48),
    language=LanguageStage(
        phases=(
            Phase((Bucket(1, 2, 4, 0.5), Bucket(4, 2, 4)), 4, 0.1, 0.5),
            Phase((Bucket(4, 2, 4), Bucket(12, 2, 8)), 4, 0.05, 0.6),
        ),
        warmup_steps=2,
    ),
    checkpoint_every_s=0.0,
)


def with_vision(settings: TrainingSettings, **changes: float) -> TrainingSettings:
    """The settings with other values in stage A."""
    return dataclasses.replace(settings, vision=dataclasses.replace(settings.vision, **changes))


def with_language(settings: TrainingSettings, **changes: object) -> TrainingSettings:
    """The settings with other values in stage B."""
    language = dataclasses.replace(settings.language, **changes)
    return dataclasses.replace(settings, language=language)
