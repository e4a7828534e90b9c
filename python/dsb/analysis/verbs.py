"""What `dsb run` and `dsb score` do, for programs: `dsb.run` and `dsb.score`. They print nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dsb.analysis.summary.schema import Summary
from dsb.analysis.summary.score import score_run
from dsb.evaluation.configuration import load_run_config
from dsb.evaluation.run import RunResult, execute
from dsb.runlog.run import open_run


def run(
    config: Path | str,
    overrides: Sequence[str] = (),
    *,
    resume: bool = False,
    fresh: bool = False,
) -> RunResult:
    """Play a configuration. Its folder is `run_dir` of the result, which `score` takes.

    Neither failed sessions nor Ctrl-C are raised; `state` and `reason` of the result tell of them.

    Args:
        config: A YAML file, or a configuration in the package by name, such as `quickstart`.
        overrides: Settings `key=value`, as after `dsb run -s`; later ones win.
        resume: Continue an earlier run, and repeat what failed in it.
        fresh: Set an earlier run aside and begin anew.

    Raises:
        ConfigError: The configuration is wrong; every problem is named with its place.
        BenchmarkError, RegistryError, ModelError, DecoderNotFound: The run cannot begin.
        RunError: Another process has the folder, it cannot be written, or it holds a part of this
            run and neither `resume` nor `fresh` says what to do with that.
    """
    return execute(load_run_config(config, overrides), resume=resume, fresh=fresh)


def score(run_dir: Path | str) -> Summary:
    """Grade every answer of a run anew from its log; writes `scores.jsonl` and `summary.json` into its folder.

    Raises:
        RunError: The folder holds no run, or a file of it is missing or damaged.
        ReportError: None of its sessions is complete.
        RegistryError, ConfigError: Its benchmark or protocol is not installed here.
    """
    return score_run(open_run(run_dir))
