"""What is written down about the circumstances of a run: versions, code, machine, models, data."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dsb import __version__
from dsb.benchmarks.root import root_of
from dsb.config.schema import RunConfig
from dsb.evaluation.identity import identity_fields
from dsb.evaluation.plan import Plan
from dsb.runlog.folder import SHORT
from dsb.runlog.records import LOG_VERSION
from dsb.stream.binary import FfmpegBuild
from dsb.stream.decoding import DecoderChoice

MANIFEST_VERSION = 1

_PACKAGES = ("numpy", "torch", "transformers", "llguidance", "pydantic", "pillow")


def make_manifest(
    config: RunConfig,
    plan: Plan,
    *,
    identity: str,
    data: str,
    models: Mapping[str, Mapping[str, object]],
    ffmpeg: FfmpegBuild,
    decoder: DecoderChoice,
) -> dict[str, Any]:
    """The content of `manifest.json`, launches excepted. Pure facts; nothing of it is read back to
    decide.
    """
    return {
        "manifest_version": MANIFEST_VERSION,
        "log_version": LOG_VERSION,
        "identity": identity,
        "identity_short": identity[:SHORT],
        "identity_fields": identity_fields(config),
        "data": {
            "hash": data,
            "data_dir": config.dataset.data_dir,
            "items_dir": str(root_of(config.dataset).items_dir),
        },
        "models": {name: dict(description) for name, description in models.items()},
        "ffmpeg": {
            "version": ffmpeg.version,
            "configuration": ffmpeg.configuration,
            "sha256": ffmpeg.sha256,
        },
        "decoder": {
            "asked": config.video.hwaccel,
            "used": decoder.hwaccel or "software",
            "threads": decoder.threads,
            "note": decoder.note,
        },
        "seed": config.seed,
        "clock": config.stream.clock,
        "protocol": config.dataset.protocol,
        "sessions": len(plan.sessions),
        "queries": plan.queries,
        "skipped": [{"id": each.id, "reason": each.reason} for each in plan.skipped],
        "versions": _versions(),
        "git": _git(),
        "machine": _machine(),
    }


def _versions() -> dict[str, str]:
    found = {"dualstreambench": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _machine() -> dict[str, Any]:
    memory = None
    if sys.platform != "win32":
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_bytes": memory,
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor()


def _git() -> dict[str, Any] | None:
    """Commit of the working copy that the package runs from; `None` when it was installed."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None
    try:
        commit = _output("git", "-C", str(root), "rev-parse", "HEAD").strip()
        changed = _output("git", "-C", str(root), "status", "--porcelain", "-uno")
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(changed.strip())}


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
