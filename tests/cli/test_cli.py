"""The command line: there at once, teaches by example, one message per error, documented exit codes."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import sys

import pytest
import typer

from children import run
from dsb import errors
from dsb.cli import app as entry
from dsb.cli.display.run_progress import ProgressDisplay, clock, one_line
from dsb.cli.exit_codes import ExitCode, exit_code_of
from dsb.evaluation.progress import Count, Progress
from paths import PAGES, ROOT

HEAVY = {
    "torch", "transformers", "numpy", "PIL", "matplotlib", "pydantic", "yaml", "rich", "ffmpeg",
    "openai", "anthropic", "google", "ray", "dsb._core",
}  # fmt: skip


@pytest.fixture
def dsb(monkeypatch, capsys):
    """Run a command line in this process: (exit status, standard output, standard error)."""

    def _dsb(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dsb", *arguments])
        with pytest.raises(SystemExit) as ended:
            entry.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return _dsb


def verbs() -> dict[tuple[str, ...], object]:
    """Every command, groups included, by the words that call it."""
    found: dict[tuple[str, ...], object] = {}

    def walk(command, words):
        found[words] = command
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, (*words, name))

    walk(typer.main.get_command(entry.app), ())
    return found


VERBS = verbs()


def parses(line: str) -> None:
    """Parse a command line as the shell would give it, without running the verb."""
    words = shlex.split(line)
    assert words[0] == "dsb"
    command, words = VERBS[()], words[1:]
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    with command.make_context("dsb", words):
        pass


def loaded_by(script: str) -> set[str]:
    """Heavy modules that a fresh interpreter holds after `script`."""
    script = f"import sys\n{script}\nprint(*sorted({HEAVY!r} & set(sys.modules)))"
    done = run([sys.executable, "-c", script], text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_by("import dsb") == set()


def test_the_help_of_no_verb_loads_anything_heavy():
    lines = [[*words, "--help"] for words in VERBS]
    assert loaded_by(
        "from dsb.cli.app import main\n"
        f"for line in {lines!r}:\n"
        "    sys.argv = ['dsb', *line]\n"
        "    try:\n        main()\n"
        "    except SystemExit as ended:\n        assert not ended.code, line\n"
    ) <= {"pydantic"}  # typer itself looks into the types of some options


def test_the_first_help_loads_no_pydantic_either():
    loaded = loaded_by(
        "from dsb.cli.app import main\n"
        "sys.argv = ['dsb', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass"
    )
    assert loaded == set()


@pytest.mark.parametrize("words", VERBS, ids=lambda words: " ".join(words) or "dsb")
def test_every_verb_explains_itself_with_an_example_that_parses(words):
    command = VERBS[words]
    examples = re.findall(r"^\s*Example: (dsb .+)$", inspect.cleandoc(command.help), re.MULTILINE)
    assert examples, f"dsb {' '.join(words)} --help shows no example"
    for example in examples:
        assert example.split()[1 : 1 + len(words)] == list(words) or not words
        parses(example)


@pytest.mark.parametrize(
    "words", [w for w, c in VERBS.items() if not hasattr(c, "commands")], ids=" ".join
)
def test_every_verb_speaks_json_and_documents_its_exit_status(words):
    command = VERBS[words]
    assert "--json" in {option for parameter in command.params for option in parameter.opts}
    for status in ExitCode:
        assert re.search(rf"\b{status}\b", command.epilog)


def test_exit_codes_in_the_documentation_are_those_of_the_program():
    text = (ROOT / "docs" / "cli.md").read_text()
    table = text.split("## Exit status")[1]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == list(
        ExitCode
    )


@pytest.mark.parametrize(
    "words", [w for w, c in VERBS.items() if not hasattr(c, "commands")], ids=" ".join
)
def test_the_documentation_names_every_verb(words):
    assert f"`dsb {' '.join(words)}" in (ROOT / "docs" / "cli.md").read_text()


def documented_commands() -> list[str]:
    found = set()
    for page in PAGES:
        for block in re.findall(r"```(?:sh|bash|console)?\n(.*?)```", page.read_text(), re.DOTALL):
            found |= set(re.findall(r"^ *(?:\$ )?(dsb [^#\n\\]+?) *(?:#.*)?$", block, re.MULTILINE))
    return sorted(found)


@pytest.mark.parametrize("line", documented_commands())
def test_every_command_in_the_documentation_parses(line):
    parses(line)


@pytest.mark.parametrize("words", [["fly"], ["run"], ["run", "quickstart", "--fast"]], ids=" ".join)
def test_a_wrong_command_line_ends_with_2(dsb, words):
    status, out, err = dsb(*words)
    assert status == ExitCode.USAGE
    assert out == ""
    assert "Usage: dsb" in err


def test_a_wrong_configuration_is_one_message_without_a_traceback(dsb):
    status, out, err = dsb("run", "quickstart", "-s", "video.fsp=2", "--json")
    assert status == ExitCode.USAGE
    assert out == ""
    assert err == "error: -s video.fsp is not a known key; did you mean video.fps?\n"


def test_debug_shows_the_traceback_wherever_it_stands(monkeypatch):
    for line in (["--debug", "run", "nowhere.yaml"], ["run", "nowhere.yaml", "--debug"]):
        monkeypatch.setattr(sys, "argv", ["dsb", *line])
        with pytest.raises(errors.ConfigError, match=r"nowhere\.yaml"):
            entry.main()


def test_an_error_that_nobody_foresaw_names_its_class_and_the_way_to_see_more(dsb, monkeypatch):
    def broken(*_):
        raise KeyError("oops")

    monkeypatch.setattr("dsb.evaluation.configuration.load_run_config", broken)
    status, _, err = dsb("run", "quickstart")
    assert status == ExitCode.FAILED
    assert "KeyError: 'oops'" in err
    assert "dsb run quickstart --debug" in err


def test_ctrl_c_ends_with_130(dsb, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("dsb.evaluation.configuration.load_run_config", interrupted)
    assert dsb("run", "quickstart")[0] == ExitCode.INTERRUPTED


@pytest.mark.parametrize("verb", [["score"], ["report"], ["results", "check"]], ids=" ".join)
def test_a_folder_without_a_run_is_an_error_that_says_how_to_make_one(dsb, verb, tmp_path):
    status, _, err = dsb(*verb, str(tmp_path))
    assert status == ExitCode.USAGE
    assert f"{tmp_path} is not a run directory" in err
    assert "dsb run" in err


def test_every_error_of_the_package_has_an_exit_status():
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind)]
    assert len(kinds) > 10
    for kind in kinds:
        assert exit_code_of(kind("what")) in (ExitCode.USAGE, ExitCode.FAILED)
    assert exit_code_of(errors.ConfigError("")) == ExitCode.USAGE
    assert exit_code_of(errors.ModelError("")) == ExitCode.FAILED


@pytest.mark.parametrize("spelling", ["--max-samples", "--max_samples"])
def test_a_dry_run_plans_and_writes_nothing(dsb, spelling, tmp_path):
    status, out, _ = dsb("run", "quickstart", "--dry-run", "--json", spelling, "30")
    found = json.loads(out)
    assert status == ExitCode.OK
    assert 30 <= sum(found["queries"].values()) < 40  # a dialogue is never cut
    assert found["streams_to_make"] == 8
    assert found["arms"] == ["s1", "s2", "blind"]
    assert found["routers"] == ["s1_uncertainty", "rule"]
    assert 0 < found["played_s"] <= found["sessions"] * 120
    assert found["frames"] == round(found["played_s"])
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_of_the_naive_baseline_decodes_many_times_as_much(dsb):
    played = {}
    for mode in ("stream", "offline"):
        _, out, _ = dsb("run", "quickstart", "--dry-run", "--json", "--mode", mode)
        played[mode] = json.loads(out)["played_s"]
    assert played["offline"] > 5 * played["stream"]


def test_a_dry_run_of_one_task_plans_that_task_only(dsb):
    _, out, _ = dsb("run", "quickstart", "--dry-run", "--json", "--benchmark", "clue")
    assert list(json.loads(out)["queries"]) == ["clue"]


PROGRESS = Progress(
    sessions=Count(8, 2, 1, 1),
    queries=Count(256, 60, 4, 30),
    session="videos/a.mp4",
    played_s=360.0,
    wall_s=30.0,
    routed={"s1": 30, "s2": 10},
    share=0.25,
    score=0.875,
)


def test_progress_says_what_is_done_resumed_and_failed_how_fast_and_how_long():
    assert one_line(PROGRESS) == (
        "sessions 3/8 (1 resumed, 1 failed) | queries 64/256 (30 resumed, 4 failed) | "
        "0.10 h of video at 12.0x realtime | S1 75%, S2 25% | 88% right so far | 1:30 to go"
    )


def test_progress_before_the_first_query_claims_nothing():
    assert one_line(Progress(Count(8), Count(256))) == "sessions 0/8 | queries 0/256"


def test_progress_without_a_terminal_is_plain_lines_and_ends_with_the_last_state(capsys):
    with ProgressDisplay() as display:
        display.progress(Progress(Count(8), Count(256)))
        display.progress(PROGRESS)
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert lines == ["sessions 0/8 | queries 0/256", one_line(PROGRESS)]


@pytest.mark.parametrize(("seconds", "text"), [(5.4, "0:05"), (90, "1:30"), (3661, "1:01:01")])
def test_a_duration_reads_like_a_clock(seconds, text):
    assert clock(seconds) == text
