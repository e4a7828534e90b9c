"""What is found in the configuration of a run before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsb.errors import ConfigError
from dsb.evaluation.configuration import load_run_config


def test_a_backend_that_nobody_knows_is_found_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("model: {backend: qwenn}\nsystem:\n  s2:\n    model: {backend: mine}\n")
    with pytest.raises(ConfigError) as error:
        load_run_config(file)
    _, shared, own = str(error.value).splitlines()
    assert shared.startswith(f"{file}:1: model.backend: no backend is called 'qwenn'; did you mean")
    assert own.startswith(f"{file}:4: system.s2.model.backend: no backend is called 'mine'; known")
