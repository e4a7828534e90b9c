"""What an earlier version wrote into `run.yaml` is read as this one would have written it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from dsb.config.former import brought_up_to_date
from dsb.config.load import load_config
from dsb.config.schema import RunConfig
from dsb.errors import ConfigError
from dsb.runlog.folder import CONFIG, read_config


@pytest.fixture
def former() -> dict[str, Any]:
    """A resolved configuration of the first version, with its flat routers."""
    values = RunConfig().model_dump(mode="json")
    values["system"]["scheduler"] = {
        "router": {"name": "s1_uncertainty", "threshold": 0.25, "rules": None},
        "compare": [{"name": "rule", "threshold": None, "rules": "mine.yaml"}],
        "fallback": "s1",
    }
    return values


def check(config: RunConfig) -> None:
    scheduler = config.system.scheduler
    assert scheduler.router.settings == {"threshold": 0.25}
    assert [each.settings for each in scheduler.compare] == [{"rules": "mine.yaml"}]


def test_the_settings_of_routers_are_moved(former: dict[str, Any], tmp_path: Path) -> None:
    text = yaml.safe_dump({"config": former, "origins": {}})
    (tmp_path / CONFIG).write_text(text)
    check(read_config(tmp_path))
    check(load_config(tmp_path / CONFIG).config)


@pytest.mark.parametrize(
    "content", ["config: null\norigins: {}", "config: {system: [1]}\norigins: {}"]
)
def test_what_is_no_configuration_is_a_typed_error(content: str, tmp_path: Path) -> None:
    file = tmp_path / CONFIG
    file.write_text(content)
    with pytest.raises(ConfigError):
        load_config(file)


def test_what_this_version_writes_stays_as_it_is() -> None:
    values = RunConfig().model_dump(mode="json")
    assert brought_up_to_date(values) == values
    assert brought_up_to_date({}) == {}


def test_a_file_of_a_user_is_not_touched(former: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(former))
    with pytest.raises(ConfigError, match=r"router\.threshold is not a known key"):
        load_config(file)
