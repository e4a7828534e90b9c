"""What this machine has for the program, what it lacks, and the command that mends it.

Every check stands alone: it reports what it found and never stops the others. Torch is imported
only here, when its check runs, so that the other verbs start fast.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Literal

from dsb.errors import DsbError
from dsb.models.store.layout import cache_dir
from dsb.stream.binary import ffmpeg_build, find_ffmpeg

Status = Literal["ok", "warn", "fail"]

DISTRIBUTION = "dualstreambench"
#: Below these many bytes a run is likely to stop on a full disk.
LOW_DISK, NO_DISK = 5 * 10**9, 5 * 10**8
#: What benchmark videos come in; without H.264 next to nothing can be read.
DECODERS = ("h264", "hevc", "vp9", "av1")
#: Frames per second at which the packets of a file are counted.
SAMPLED = (Fraction(1, 2), Fraction(1), Fraction(2))


@dataclass(frozen=True)
class Check:
    """One finding."""

    name: str
    """What was looked at."""
    status: Status
    """`fail`: nothing runs. `warn`: something optional is missing or will be slow."""
    found: str
    """What is there."""
    remedy: str = ""
    """What to do about it, if anything: a command where there is one."""


def examine(
    *,
    results_dir: Path = Path("results"),
    ffmpeg: str | None = None,
    video: Path | None = None,
) -> list[Check]:
    """Run every check; `video` adds one that decodes the first frames of a file."""
    checks: list[Callable[[], list[Check]]] = [
        check_python,
        check_core,
        partial(check_ffmpeg, ffmpeg),
        check_torch,
        partial(check_package, "transformers"),
        check_memory,
        partial(check_disk, results_dir),
        check_caches,
        check_extras,
    ]
    if video is not None:
        checks.append(partial(check_video, video, ffmpeg))
    return [finding for check in checks for finding in check()]


def check_python() -> list[Check]:
    """The interpreter and the number of cores it may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    version = ".".join(map(str, sys.version_info[:3]))
    return [Check("python", "ok", f"{version} on {sys.platform}, {cores} cores")]


def check_core() -> list[Check]:
    """The compiled core, and whether it was compiled for speed."""
    try:
        core = importlib.import_module("dsb._core")
    except ImportError as error:
        return [Check("core", "fail", f"cannot be loaded: {error}", "pip install .")]
    if core.is_debug_build():
        found = f"{core.__version__}, compiled without optimisation: measurements mean nothing"
        return [Check("core", "warn", found, "maturin develop --release")]
    return [Check("core", "ok", f"{core.__version__}, optimised")]


def check_ffmpeg(explicit: str | None = None) -> list[Check]:
    """The decoder binary, its version and its codecs."""
    try:
        build = ffmpeg_build(find_ffmpeg(explicit))
    except DsbError as error:
        return [Check("ffmpeg", "fail", str(error), "pip install imageio-ffmpeg")]
    findings = [Check("ffmpeg", "ok", f"{build.version} at {build.path}")]
    better = "point DSB_FFMPEG at a complete build, such as that of `pip install imageio-ffmpeg`"
    able = _codecs(build.path, "-decoders")
    missing = [codec for codec in DECODERS if codec not in able]
    found = "reads " + ", ".join(codec for codec in DECODERS if codec in able)
    if missing:
        status: Status = "fail" if "h264" in missing else "warn"
        findings.append(Check("decoders", status, f"{found}; not {', '.join(missing)}", better))
    else:
        findings.append(Check("decoders", "ok", found))
    if "libx264" in _codecs(build.path, "-encoders"):
        findings.append(Check("encoder", "ok", "libx264"))
    else:
        findings.append(Check("encoder", "warn", "no libx264, `dsb data synth` needs it", better))
    return findings


def check_torch() -> list[Check]:
    """PyTorch and the devices that it can use."""
    try:
        # An old driver makes torch warn while it looks for devices; that belongs into the finding.
        with warnings.catch_warnings(record=True) as complaints:
            warnings.simplefilter("always")
            import torch

            gpus = [_gpu(index) for index in range(torch.cuda.device_count())]
            threads, has_mps = torch.get_num_threads(), torch.backends.mps.is_available()
    except (ImportError, OSError) as error:
        # OSError: the package is there, a shared library that it needs is not.
        return [Check("torch", "fail", f"cannot be loaded: {error}", "pip install torch")]
    findings = [Check("torch", "ok", torch.__version__)]
    devices = [*gpus, *(["mps"] if has_mps else []), f"cpu with {threads} threads"]
    if not gpus and shutil.which("nvidia-smi"):
        reason = f": {complaints[0].message}" if complaints else ""
        remedy = "install a torch build for this driver, see https://pytorch.org/get-started"
        found = f"{', '.join(devices)}; an NVIDIA driver is here but torch cannot use it{reason}"
        return [*findings, Check("devices", "warn", found, remedy)]
    return [*findings, Check("devices", "ok", ", ".join(devices))]


def check_package(name: str) -> list[Check]:
    """Whether a required package is installed; it is not imported."""
    try:
        return [Check(name, "ok", importlib.metadata.version(name))]
    except importlib.metadata.PackageNotFoundError:
        return [Check(name, "fail", "not installed", f"pip install {name}")]


def check_memory() -> list[Check]:
    """Main memory of the machine."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # not every system has these names
        return []
    return [Check("memory", "ok", f"{_gigabytes(total)} in all")]


def check_disk(results_dir: Path) -> list[Check]:
    """Room for results, and whether they can be written."""
    folder = _existing(results_dir)
    name = f"disk ({results_dir})"
    if not os.access(folder, os.W_OK):
        remedy = f"chmod u+w {str(folder)!r}, or choose another results folder"
        return [Check(name, "fail", f"{folder} cannot be written", remedy)]
    free = shutil.disk_usage(folder).free
    found = f"{_gigabytes(free)} free"
    if free >= LOW_DISK:
        return [Check(name, "ok", found)]
    remedy = (
        f"free some space, or put results elsewhere; `du -sh {str(folder)!r}/*` shows what is big"
    )
    return [Check(name, "fail" if free < NO_DISK else "warn", found, remedy)]


def check_caches() -> list[Check]:
    """Where fetched models are kept."""
    folder = cache_dir()
    existing = _existing(folder)
    if not os.access(existing, os.W_OK):
        remedy = f"chmod u+w {str(existing)!r}, or point DSB_MODEL_CACHE at a folder that you own"
        return [Check("model cache", "warn", f"{folder} cannot be written", remedy)]
    state = "" if folder.exists() else ", made when first needed"
    free = _gigabytes(shutil.disk_usage(existing).free)
    return [Check("model cache", "ok", f"{folder}{state}; {free} free")]


def check_extras() -> list[Check]:
    """Optional parts of the package: which are complete, and what completes the others."""
    try:
        lines = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return [Check("extras", "warn", f"{DISTRIBUTION} is not installed", "pip install .")]
    return [_extra(name, wanted) for name, wanted in sorted(extras_of(lines).items())]


def check_video(video: Path, ffmpeg: str | None = None) -> list[Check]:
    """Whether a file can be decoded: its description and its first frames."""
    name = f"video ({video})"
    try:
        from dsb.stream.probe import probe
        from dsb.stream.request import DecodeRequest
        from dsb.stream.source import open_source
    except ImportError as error:
        return [Check(name, "fail", f"cannot be decoded: {error}", "pip install .")]
    try:
        info = probe(video, ffmpeg=ffmpeg)
        with open_source(DecodeRequest(video, ffmpeg=ffmpeg), capacity=4) as source:
            source.frames.wait(0, timeout_s=60)
            width, height = source.size
    except (DsbError, TimeoutError) as error:
        return [Check(name, "fail", str(error), "see the message")]
    length = "unknown length" if info.duration_s is None else f"{info.duration_s:.2f} s"
    rate = "unknown rate" if info.fps is None else f"{float(info.fps):.4g} fps"
    sound = "with sound" if info.has_audio else "no sound"
    found = f"{info.codec} {info.width}x{info.height}, shown as {width}x{height}, {rate}, {length}"
    return [Check(name, "ok", f"{found}, {sound}"), *_packets(video, ffmpeg)]


def _packets(video: Path, ffmpeg: str | None) -> list[Check]:
    """Which share of the packets is decoded at the usual rates, or why all are."""
    from dsb.stream.pruning import cost_share, prune
    from dsb.stream.request import DecodeRequest

    findings = []
    for fps in SAMPLED:
        pruning = prune(DecodeRequest(video, fps, ffmpeg=ffmpeg))
        if pruning is None:
            return []
        name = f"packets at {fps} fps"
        if pruning.obstacle is not None:
            text = f"all are decoded: {pruning.reason} [{pruning.obstacle}]"
            if pruning.obstacle != "nothing":
                return [Check("packets", "ok", text)]
            findings.append(Check(name, "ok", text))
            continue
        dropped = pruning.packets - pruning.kept
        share = dropped / pruning.packets
        text = f"{dropped} of {pruning.packets} are left out ({share:.0%})"
        speed_up = f"decoding about {1 / cost_share(pruning):.1f} times as fast"
        findings.append(Check(name, "ok", f"{text}, {speed_up}"))
    return findings


def extras_of(requirements: list[str]) -> dict[str, list[str]]:
    """Requirements per extra, from the lines of the package metadata; `all` is left out."""
    extras: dict[str, list[str]] = {}
    for line in requirements:
        requirement, _, marker = line.partition(";")
        extra = re.search(r"extra\s*==\s*['\"]([\w.-]+)['\"]", marker)
        if extra and not requirement.startswith(DISTRIBUTION):
            extras.setdefault(extra[1], []).append(requirement.strip())
    return extras


def _extra(name: str, wanted: list[str]) -> Check:
    missing = [requirement for requirement in wanted if not _is_installed(requirement)]
    if not missing:
        return Check(f"extra [{name}]", "ok", "complete")
    names = ", ".join(_distribution(requirement) for requirement in missing)
    command = "pip install " + " ".join(f"'{requirement}'" for requirement in missing)
    return Check(f"extra [{name}]", "warn", f"not installed: {names}", command)


def _distribution(requirement: str) -> str:
    """`openai` of `openai>=1.90`."""
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]


def _is_installed(requirement: str) -> bool:
    try:
        importlib.metadata.version(_distribution(requirement))
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _codecs(binary: Path, listing: str) -> set[str]:
    """Implementations and codecs that `ffmpeg -decoders` or `-encoders` lists."""
    done = subprocess.run(
        [binary, "-hide_banner", listing], capture_output=True, text=True, timeout=60, check=False
    )
    rows = re.findall(
        r"^ [VAS][F.][S.][X.][B.][D.] (\S+) .*?(?:\(codec (\S+)\))?$", done.stdout, re.MULTILINE
    )
    return {name for row in rows for name in row if name}


def _gpu(index: int) -> str:
    import torch

    properties = torch.cuda.get_device_properties(index)
    return f"cuda:{index} {properties.name} with {_gigabytes(properties.total_memory)}"


def _existing(folder: Path) -> Path:
    """`folder`, or the nearest parent that exists."""
    path = folder.absolute()
    return next(candidate for candidate in (path, *path.parents) if candidate.exists())


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
