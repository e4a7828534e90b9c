r"""Route by regular expressions on the question, read from YAML.

    default: s1
    rules:
      - pattern: '\bhow many times\b'
        route: s2
        reason: counting over time

The first rule whose pattern is found (case-insensitive) decides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from dsb.config.schema import Section
from dsb.errors import ConfigError
from dsb.routing.features import RouteFeatures, Stage
from dsb.routing.router import Action, Load, Route, RouterKind, RouteScore


class RuleSettings(Section):
    """Settings of `rule`."""

    rules: str | None = None
    """Path of the YAML file; none takes the rules in the package."""


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    pattern: str
    route: Literal["s1", "s2"]
    reason: str = ""


class _RuleFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    default: Literal["s1", "s2"] = "s1"
    rules: tuple[_Rule, ...]


@dataclass(frozen=True)
class Rule:
    """Made by `load_rules`."""

    patterns: tuple[tuple[re.Pattern[str], Action, str], ...]
    default: Action
    label: str
    stage: Stage = "before_s1"

    def identity(self) -> Mapping[str, JsonValue]:
        """All rules in their order; where they were read does not matter."""
        rules = [[pattern.pattern, action] for pattern, action, _ in self.patterns]
        return {"rules": [list(rule) for rule in rules], "default": self.default}

    def score(self, features: RouteFeatures) -> RouteScore:
        """1 where the deciding rule says S2, else 0."""
        for pattern, action, reason in self.patterns:
            if pattern.search(features.question):
                return RouteScore(float(action == "s2"), reason or pattern.pattern)
        return RouteScore(float(self.default == "s2"), "no rule matched")

    def decide(self, score: RouteScore, load: Load) -> Route:
        """S2 above one half."""
        return Route("s2" if score.value > 0.5 else "s1", threshold=0.5)


def load_rules(label: str, path: str | None = None) -> Rule:
    """Read a rule file; `None` takes the one in the package.

    Raises `ConfigError` naming the file and the rule.
    """
    file_name = path or "dsb/routing/routers/rules.yaml"
    try:
        text = (
            Path(path).read_text(encoding="utf-8")
            if path is not None
            else resources.files("dsb.routing.routers")
            .joinpath("rules.yaml")
            .read_text(encoding="utf-8")
        )
        file = _RuleFile.model_validate(yaml.safe_load(text))
    except OSError as error:
        raise ConfigError(
            f"rule file {file_name}: {error.strerror}; set `rules` to a readable YAML file"
        ) from error
    except (yaml.YAMLError, ValidationError) as error:
        raise ConfigError(
            f"rule file {file_name}: {error}; it needs `default: s1|s2` and `rules:` with pattern and route"
        ) from error
    return Rule(_compile(file, file_name), file.default, label)


def _compile(file: _RuleFile, file_name: str) -> tuple[tuple[re.Pattern[str], Action, str], ...]:
    compiled: list[tuple[re.Pattern[str], Action, str]] = []
    for number, rule in enumerate(file.rules, start=1):
        try:
            pattern = re.compile(rule.pattern, re.IGNORECASE)
        except re.error as error:
            raise ConfigError(
                f"rule file {file_name}: rule {number}: pattern {rule.pattern!r} is not a regular expression: {error}"
            ) from error
        compiled.append((pattern, rule.route, rule.reason))
    return tuple(compiled)


#: Regular expressions from YAML.
RULE = RouterKind(RuleSettings, lambda label, settings: load_rules(label, settings.rules))
