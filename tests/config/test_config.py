"""A configuration loads with the origin of every value, or says at once all that is wrong."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
import yaml as pyyaml

from dsb.config.load import find_config, load_config
from dsb.config.schema import RunConfig
from dsb.errors import ConfigError
from paths import ROOT

CONFIGS = ROOT / "configs"


@pytest.fixture
def write(tmp_path):
    def _write(text: str) -> Path:
        path = tmp_path / "run.yaml"
        path.write_text(text)
        return path

    return _write


def problems(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    lines = str(caught.value).splitlines()
    return lines[1:] if len(lines) > 1 else lines


def test_an_empty_file_means_the_defaults(write):
    assert load_config(write("")).config == RunConfig()


def test_a_section_with_all_its_keys_commented_out_means_its_defaults(write):
    path = write("video:\n  # fps: 2\nsystem:\n  s1:\n")
    assert load_config(path).config == RunConfig()


def test_an_optional_section_stays_absent_when_it_is_null(write):
    assert load_config(write("dataset:\n  synth: null\n")).config.dataset.synth is None


def test_every_value_knows_where_it_was_set(write):
    path = write("video:\n  fps: 2\nsystem:\n  s1: {window: {max_frames: 4}}\n")
    origins = load_config(path, ["video.strict=false"]).origins
    assert origins["video.fps"] == f"{path}:2"
    assert origins["system.s1.window.max_frames"] == f"{path}:4"
    assert origins["video.strict"] == "-s"
    assert origins["video.width"] == "default"


def test_every_leaf_of_the_schema_has_an_origin(write):
    def leaves(value, prefix=""):
        for name, inner in value.items():
            if isinstance(inner, dict) and inner:
                yield from leaves(inner, f"{prefix}{name}.")
            else:
                yield prefix + name

    loaded = load_config(write(""))
    assert set(loaded.origins) == set(leaves(loaded.config.model_dump(mode="json")))


def test_an_override_beats_the_file_and_a_later_override_an_earlier_one(write):
    path = write("video: {fps: 2}\n")
    assert load_config(path, ["video.fps=3"]).config.video.fps == 3
    assert load_config(path, ["video.fps=3", "video.fps=1/2"]).config.video.fps == Fraction(1, 2)


def test_an_override_of_a_section_replaces_what_the_file_says_about_it(write):
    path = write("video: {fps: 2, width: 64}\n")
    loaded = load_config(path, ["video={height: 32}"])
    assert (loaded.config.video.width, loaded.config.video.height) == (None, 32)
    assert (loaded.origins["video.width"], loaded.origins["video.height"]) == ("default", "-s")


def test_an_override_reaches_into_a_list(write):
    path = write("system: {scheduler: {compare: [{name: rule}, {name: always_s1}]}}\n")
    loaded = load_config(path, ["system.scheduler.compare.1.settings.threshold=0.25"])
    assert loaded.config.system.scheduler.compare[1].settings == {"threshold": 0.25}
    assert loaded.origins["system.scheduler.compare.1.settings.threshold"] == "-s"


@pytest.mark.parametrize(
    "override", ["video.fps", "=3", "video..fps=1", "video.fps=[", "seed.deeper.still=1"]
)
def test_a_malformed_override_is_quoted_back(write, override):
    (line,) = problems(write("seed: 1"), override)
    assert line.startswith(f"-s {override.split('=')[0]}")


@pytest.mark.parametrize(
    ("yaml", "line", "nearest"),
    [
        ("video:\n  fsp: 1", 2, "video.fps"),
        ("video:\n  fps: 1\n  max_frames: 8", 3, "system.s1.window.max_frames"),
        ("sytem:\n  blind: true", 1, "system"),
        ("system:\n  s2:\n    windw: {}", 3, "system.s2.window"),
        ("system:\n  scheduler:\n    compare:\n    - nam: rule", 4, "compare.0.name"),
    ],
)
def test_an_unknown_key_is_an_error_that_names_line_and_nearest_key(write, yaml, line, nearest):
    path = write(yaml)
    (problem,) = problems(path)
    assert problem.startswith(f"{path}:{line}: ")
    assert "did you mean" in problem
    assert nearest in problem


def test_an_unknown_key_with_nothing_near_lists_what_there_is(write):
    (problem,) = problems(write("stream:\n  zzzz: 1"))
    assert "stream has mode, clock, source" in problem


@pytest.mark.parametrize(
    ("yaml", "wanted"),
    [
        ("stream: {mode: fast}", "stream.mode must be one of stream, offline, not 'fast'"),
        ("video: {fps: quick}", "video.fps must be a number or fraction such as 1/2, > 0"),
        ("video: {fps: 1/0}", "video.fps must be"),
        ("video: {fps: -1}", "video.fps must be"),
        ("video: {fps: .nan}", "video.fps must be"),
        ("video: {width: 1.5}", "video.width must be a whole number >= 1, or null, not 1.5"),
        ("output: {retries: true}", "output.retries must be a whole number >= 0, not true"),
        ("output: {name: 2024}", "output.name must be text, not 2024; put it in quotes"),
        ("system: {proactive: {threshold: 2}}", "must be a number >= 0 and <= 1, not 2"),
        ("video: 3", "video must be a section with fps, width"),
        ("memory: {write: [dreams]}", "memory.write.0 must be one of dialogue, observation"),
    ],
)
def test_a_wrong_value_is_an_error_that_says_what_is_admitted(write, yaml, wanted):
    path = write(yaml)
    (problem,) = problems(path)
    assert problem.startswith(f"{path}:1: ")
    assert wanted in problem


def test_all_problems_are_reported_together(write):
    path = write("video: {fsp: 1}\nstream: {mode: fast}\noutput: {retries: true}\n")
    found = problems(path, "seed=-1")
    assert len(found) == 4
    assert any(line.startswith("-s seed must be a whole number >= 0") for line in found)


@pytest.mark.parametrize(
    ("yaml", "key"),
    [
        ("system: {collect: routed, scheduler: {compare: [{name: rule}]}}", "scheduler.compare:"),
        ("system: {scheduler: {compare: [{name: s1_uncertainty}]}}", "compare.0.label"),
        ("system: {s2: {retrieve: 3}}", "system.s2.retrieve"),
        ("{memory: {long_term: true}, system: {s1: {retrieve: 3}}}", "system.s1.retrieve"),
        ("{memory: {long_term: true}, system: {s2: {retrieve: 3}}}", "system.s2.prompt"),
        ("system: {s1: {prompt: 'What?'}}", "system.s1.prompt"),
        ("system: {s1: {prompt: '{question} {picture}'}}", "system.s1.prompt"),
        ("system: {s1: {prompt: '{question'}}", "system.s1.prompt"),
        ("dataset: {shard: 3/2}", "dataset.shard"),
        ("{model: {threads: 1}, system: {s1: {model: {threads: 2}}}}", "model.threads"),
        ("dataset: {synth: {sessions: 2}, items_dir: data}", "dataset.items_dir"),
        ("system: {s2: {window: {kv: view}}}", "system.s2.window.kv"),
        ("system: {s1: {window: {kv: view}}, s2: {window: {kv: strict}}}", "system.s1.window.kv"),
        ("system: {s1: {window: {kv: view}, model: {path: a/b}}}", "system.s1.window.kv"),
        ("system: {s1: {window: {kv: view, max_frames: 300}}}", "system.s1.window.max_frames"),
        ("system: {s2: {window: {kv: evict, fps: 1/2}}}", "system.s2.window.kv"),
        ("system: {s2: {window: {kv: strict}}, streaming_embed_cache: {sinks: 2}}", "cache.sinks"),
        (
            "system: {s2: {window: {fps: 1/2}}, streaming_embed_cache: {context_tokens: 99}}",
            "cache.context_tokens",
        ),
        (
            "system: {s2: {window: {span_s: 9}}, streaming_embed_cache: {eviction: random}}",
            "cache.eviction",
        ),
    ],
)
def test_values_that_contradict_each_other_are_an_error_at_one_of_them(write, yaml, key):
    path = write(yaml)
    (problem,) = problems(path)
    assert problem.startswith(f"{path}:1: ")
    assert key in problem


@pytest.mark.parametrize(
    "override", ["system.streaming_embed_cache.reuse=embed", "stream.mode=offline"]
)
def test_a_baseline_takes_the_configuration_of_what_it_is_compared_with(write, override):
    path = write("system: {s1: {window: {kv: evict}}, streaming_embed_cache: {sinks: 2}}\n")
    assert load_config(path, [override, "system.s1.window.kv=strict", "system.s2.window.kv=strict"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("video: {fps: 1\n", ":2: not valid YAML"),
        ("video: {fps: 1}\nvideo: {fps: 2}\n", ":2: video is already set at "),
        ("- a\n- b\n", ":1: a configuration is a mapping"),
        ("video: !!python/object:os.system {}\n", ":1: video: the tag tag:yaml.org,2002:python"),
        ("video: !mine {}\n", ":1: video: the tag !mine has no meaning here"),
        ("seed: !!python/name:os.system ''\n", ":1: not valid YAML"),
        ("memory: &m {write: *m}\n", ":1: memory.write contains itself"),
        ("seed: \x00\n", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_configuration_says_where(write, text, words):
    (problem,) = problems(write(text))
    assert words in problem


def test_a_key_that_yaml_would_read_as_a_truth_value_is_taken_as_written(write):
    (problem,) = problems(write("video: {on: 1}"))
    assert "video.on is not a known key" in problem


def test_a_file_that_is_not_text_says_so(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    (problem,) = problems(path)
    assert "UTF-8" in problem


def test_a_missing_file_names_the_packaged_configurations():
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: there is no such file.*quickstart"):
        find_config("nowhere.yaml")


def test_a_folder_is_not_a_configuration(tmp_path):
    with pytest.raises(ConfigError, match="is a folder"):
        find_config(tmp_path)


def test_a_packaged_configuration_is_found_by_its_name_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config("quickstart").read_text() == (CONFIGS / "quickstart.yaml").read_text()


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_configuration_loads(path):
    load_config(path)


def test_a_run_can_be_repeated_from_the_configuration_in_its_folder(write):
    loaded = load_config(CONFIGS / "quickstart.yaml", ["video.fps=1/2"])
    dumped = {"config": loaded.config.model_dump(mode="json"), "origins": loaded.origins}
    path = write(pyyaml.safe_dump(dumped))
    again = load_config(path, ["seed=3"])
    assert again.config == loaded.config.model_copy(update={"seed": 3})
    assert again.origins["video.fps"].startswith(f"{path}:")
