"""Find what is wrong with the items of a benchmark and with their videos.

Every finding names file, item, field and remedy. `fix` mends only what has one possible mending,
and says so for each item.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from dsb.atomic import write_text
from dsb.benchmarks.item import LETTERS, SCHEMA, Item, parse_item, raw_id, read_raw
from dsb.benchmarks.layout import MEMORY_ABLATION
from dsb.benchmarks.media import check_video
from dsb.errors import DecodeError, SourceError

#: Called with (videos checked, videos in all) of one file.
Progress = Callable[[int, int], None]

#: Times may lie this far behind the end of a video: containers round durations to whole frames.
_END_TOLERANCE_S = 0.5


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or was mended."""

    severity: Literal["error", "warning", "fixed"]
    file: str
    item: str
    field: str
    cause: str
    remedy: str

    def to_json(self) -> dict[str, str]:
        """The finding as a JSON object."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.severity}: {self.file}: item {self.item}: {self.field}: {self.cause}; "
            f"{self.remedy}"
        )


def validate_file(
    path: Path,
    data_dir: Path | None = None,
    *,
    fix: bool = False,
    decode: bool = True,
    progress: Progress | None = None,
) -> list[Finding]:
    """Everything that is wrong with one file of items.

    With `data_dir` the videos below it are checked as well: there, long enough, and, unless
    `decode` is off, decodable to the end. With `fix` the file is rewritten if anything in it could
    be mended. `progress` is called with (videos checked, videos in all).

    Raises `BenchmarkError` if the file holds no items, and `DecoderNotFound` if videos are to be
    checked and there is no ffmpeg.
    """
    return validate_files([path], data_dir, fix=fix, decode=decode, progress=progress)


def validate_files(
    paths: Sequence[Path],
    data_dir: Path | None = None,
    *,
    fix: bool = False,
    decode: bool = True,
    progress: Progress | None = None,
) -> list[Finding]:
    """Everything that is wrong with the files of one benchmark; see `validate_file`.

    Videos are checked for the first file and for those of `memory_ablation`, each video once: task
    sets and shards repeat the items of the first file. The files of `memory_ablation` can be asked
    together, so an id must stand for the same item in all of them.
    """
    videos = None if data_dir is None else _Videos(data_dir, decode=decode)
    findings: list[Finding] = []
    seen: dict[str, tuple[Item, Path]] = {}
    for number, path in enumerate(paths):
        ablation = path.parent.name == MEMORY_ABLATION
        items, found = _check_items(path, fix=fix)
        findings += found
        if videos is not None and (number == 0 or ablation):
            findings += _video_findings(path, items, videos, progress)
        if ablation:
            findings += _contradictions(path, items, seen)
    return findings


def _check_items(path: Path, *, fix: bool) -> tuple[list[Item], list[Finding]]:
    """The items that are well-formed, and what is wrong with any."""
    raw_items = read_raw(path)
    findings: list[Finding] = []
    if fix:
        raw_items, findings = _fix_all(path, raw_items)
    items: list[Item] = []
    seen: set[str] = set()
    for position, raw in enumerate(raw_items):
        name = raw_id(raw, position)
        item, problems = parse_item(raw)
        findings += [Finding("error", str(path), name, *problem) for problem in problems]
        if name in seen:
            cause, remedy = "another item has this id too", "make the ids unique"
            findings.append(Finding("error", str(path), name, "id", cause, remedy))
        seen.add(name)
        if item is not None:
            items.append(item)
    findings += _chain_findings(path, items)
    return items, findings


def _contradictions(
    path: Path, items: Sequence[Item], seen: dict[str, tuple[Item, Path]]
) -> Iterator[Finding]:
    """Items that `seen` knows otherwise from an earlier file; it learns the others."""
    for item in items:
        known, first = seen.setdefault(item.id, (item, path))
        if known != item and first != path:
            cause, remedy = f"{first} holds a different item under this id", "rename one of them"
            yield Finding("error", str(path), item.id, "id", cause, remedy)


# -- dialogues and videos -------------------------------------------------------------------------


def _chain_findings(path: Path, items: Sequence[Item]) -> Iterator[Finding]:
    chains: dict[str, list[Item]] = {}
    for item in items:
        if item.chain is not None:
            chains.setdefault(item.chain.id, []).append(item)
    for turns in chains.values():
        # A part of a benchmark may hold some turns only; a doubled one is wrong in every file.
        by_index = {turn.chain.index: turn for turn in turns if turn.chain}
        for turn in turns:
            if turn.chain and by_index[turn.chain.index] is not turn:
                cause = f"turn {turn.chain.index} of dialogue {turn.chain.id} occurs twice"
                remedy = "number the turns 0, 1, 2, ..."
                yield Finding("error", str(path), turn.id, "chain.index", cause, remedy)
        ordered = [by_index[index] for index in sorted(by_index)]
        for before, after in pairwise(ordered):
            if after.ask_time_s < before.ask_time_s or after.video != before.video:
                cause = f"the turn is not after {before.id} in the same video"
                remedy = "correct the time, the video or the index"
                yield Finding("error", str(path), after.id, "chain", cause, remedy)


class _Videos:
    """The videos below a folder; each is checked once, however many files of items name it."""

    def __init__(self, folder: Path, *, decode: bool) -> None:
        self.folder = folder
        self._decode = decode
        self._known: dict[str, float | SourceError | DecodeError | None] = {}

    def check(self, video: str) -> float | SourceError | DecodeError | None:
        """Its length in seconds, `None` where nobody knows it, or what is wrong with it."""
        if video not in self._known:
            path = self.folder / video
            try:
                self._known[video] = check_video(path, decode=self._decode).duration_s
            except (SourceError, DecodeError) as error:
                self._known[video] = error
        return self._known[video]


def _video_findings(
    path: Path, items: Sequence[Item], videos: _Videos, progress: Progress | None
) -> Iterator[Finding]:
    by_video: dict[str, list[Item]] = {}
    for item in items:
        by_video.setdefault(item.video, []).append(item)
    for done, (video, asked) in enumerate(by_video.items(), start=1):
        found = videos.check(video)
        if isinstance(found, SourceError):
            place = f"put the video below {videos.folder}, correct the path"
            remedy = f"{place}, or give `--data-dir` ({len(asked)} items)"
            yield Finding("error", str(path), asked[0].id, "video", str(found), remedy)
        elif isinstance(found, DecodeError):
            remedy = f"replace the video or remove its {len(asked)} items"
            yield Finding("error", str(path), asked[0].id, "video", str(found), remedy)
        elif found is not None:
            for item in asked:
                yield from _range_findings(path, item, found)
        if progress:
            progress(done, len(by_video))


def _range_findings(path: Path, item: Item, duration_s: float) -> Iterator[Finding]:
    times = [("ask_time_s", item.ask_time_s)]
    times += [(f"evidence_s[{i}]", start) for i, (start, _) in enumerate(item.evidence_s)]
    times += [(f"triggers_s[{i}]", at) for i, at in enumerate(item.triggers_s or ())]
    times += [("meta.end_s", item.end_s)] if item.end_s is not None else []
    for field, at in times:
        if at > duration_s + _END_TOLERANCE_S:
            cause = f"{at} s, but {item.video} ends at {duration_s:.2f} s"
            yield Finding(
                "error", str(path), item.id, field, cause, "correct the time or the video"
            )


# -- mending --------------------------------------------------------------------------------------


def _fix_all(path: Path, raw_items: Sequence[object]) -> tuple[list[object], list[Finding]]:
    fixed, findings = [], []
    for position, raw in enumerate(raw_items):
        item, changes = _fix_item(raw) if isinstance(raw, dict) else (raw, {})
        fixed.append(item)
        for field, cause in changes.items():
            name = raw_id(raw, position)
            findings.append(Finding("fixed", str(path), name, field, cause, "rewritten"))
    if findings:
        body = ",\n".join(json.dumps(item, ensure_ascii=False) for item in fixed)
        write_text(path, f'{{"schema": "{SCHEMA}", "items": [\n{body}\n]}}\n')
    return fixed, findings


def _fix_item(raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The mended item, and per field what was changed."""
    item, changes = dict(raw), {}
    for field in ("ask_time_s", "deadline_s"):
        seconds = _to_seconds(item.get(field))
        if seconds is not None:
            changes[field] = f"{item[field]!r} is now {seconds}"
            item[field] = seconds
    triggers = item.get("triggers_s")
    if isinstance(triggers, list) and _are_numbers(triggers) and triggers != sorted(triggers):
        item["triggers_s"], changes["triggers_s"] = sorted(triggers), "now in order"
    answer = _fix_answer(item.get("options"), item.get("answer"))
    if answer is not None:
        changes["answer"] = f"{item['answer']!r} is now {answer}"
        item["answer"] = answer
    return item, changes


def _to_seconds(value: object) -> float | None:
    """Seconds of a text such as `84`, `1:24` or `00:01:24.5`; `None` for anything else."""
    if not isinstance(value, str):
        return None
    if not re.fullmatch(r"(?:\d+:){0,2}\d+(?:\.\d+)?", value.strip()):
        return None
    seconds = 0.0
    for part in value.strip().split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


def _are_numbers(values: Sequence[object]) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _fix_answer(options: object, answer: object) -> dict[str, Any] | None:
    """The answer as an object when one half of it determines the other, else `None`."""
    if isinstance(answer, str):
        answer = {"text": answer}
    elif not isinstance(answer, dict) or set(answer) - {"option", "text"}:
        return None
    if not isinstance(options, list):
        return {"option": None, **answer} if "option" not in answer else None
    option, text = answer.get("option"), answer.get("text")
    if option is None and isinstance(text, str) and options.count(text) == 1:
        return {"option": options.index(text), "text": text}
    letter = LETTERS.find(text) if isinstance(text, str) and len(text) == 1 else -1
    if option is None and 0 <= letter < len(options):
        return {"option": letter, "text": options[letter]}
    if text is None and isinstance(option, int) and 0 <= option < len(options):
        return {"option": option, "text": options[option]}
    return None
