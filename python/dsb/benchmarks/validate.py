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
from dsb.benchmarks.media import check_video
from dsb.errors import DecodeError, SourceError

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
    progress: Callable[[int, int], None] | None = None,
) -> list[Finding]:
    """Everything that is wrong with one file of items.

    With `data_dir` the videos below it are checked as well: there, long enough, and, unless
    `decode` is off, decodable to the end. With `fix` the file is rewritten if anything in it could
    be mended. `progress` is called with (videos checked, videos in all).

    Raises `BenchmarkError` if the file holds no items, and `DecoderNotFound` if videos are to be
    checked and there is no ffmpeg.
    """
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
    if data_dir is not None:
        findings += _video_findings(path, items, data_dir, decode, progress)
    return findings


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


def _video_findings(
    path: Path,
    items: Sequence[Item],
    data_dir: Path,
    decode: bool,
    progress: Callable[[int, int], None] | None,
) -> Iterator[Finding]:
    by_video: dict[str, list[Item]] = {}
    for item in items:
        by_video.setdefault(item.video, []).append(item)
    for done, (video, asked) in enumerate(by_video.items(), start=1):
        try:
            duration_s = check_video(data_dir / video, decode=decode).duration_s
        except SourceError as error:
            place = f"put the video below {data_dir}, correct the path"
            remedy = f"{place}, or give `--data-dir` ({len(asked)} items)"
            yield Finding("error", str(path), asked[0].id, "video", str(error), remedy)
        except DecodeError as error:
            remedy = f"replace the video or remove its {len(asked)} items"
            yield Finding("error", str(path), asked[0].id, "video", str(error), remedy)
        else:
            for item in asked:
                if duration_s is not None:
                    yield from _range_findings(path, item, duration_s)
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
