"""The verbs `dsb models check` and `list`: text, JSON, exit status."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from random_checkpoints import write_checkpoint


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    return write_checkpoint(tmp_path / "vl", "qwen2_5_vl")


@pytest.fixture
def dsb(monkeypatch, capsys, tmp_path):
    """Run a command line in this process: (exit status, standard output, standard error)."""
    from dsb.cli import app as entry

    monkeypatch.setenv("DSB_MODEL_CACHE", str(tmp_path / "cache"))

    def _dsb(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["dsb", *arguments])
        with pytest.raises(SystemExit) as ended:
            entry.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return _dsb


def test_check_prints_what_the_embedded_model_needs(dsb):
    code, out, _ = dsb("models", "check", "embedded", "--config", "quickstart", "--gpu", "h200")
    assert code == 0
    for label in ("parameters", "keys and values", "visual cache", "first token", "it fits"):
        assert label in out


def test_check_says_with_its_status_that_a_model_does_not_fit(dsb):
    code, out, _ = dsb("models", "check", "embedded", "--gpu", "h200", "--memory", "1000")
    assert code == 1
    assert "DOES NOT FIT" in out


def test_check_speaks_json(dsb):
    code, out, _ = dsb("models", "check", "embedded", "--gpu", "t4", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["fits"] is True
    assert found["memory"]["total"] > found["memory"]["weights"] > 0
    assert found["floors"]["ttft_s"] > 0


def test_a_device_can_be_given_in_numbers(dsb):
    line = "models check embedded --memory 8000000000 --bandwidth 1e11 --flops 1e13 --json"
    code, out, _ = dsb(*line.split())
    found = json.loads(out)
    assert (code, found["device"]["memory"]) == (0, 8_000_000_000)
    assert found["floors"] is not None


def test_check_of_an_id_that_is_not_here_names_the_command(dsb):
    code, _, err = dsb("models", "check", "owner/model")
    assert code == 3
    assert "dsb models fetch owner/model" in err


def test_list_says_what_is_there_and_what_runs_it(dsb, checkpoint, tmp_path):
    assert dsb("models", "list", "--json")[:2] == (
        0,
        json.dumps({"cache": str(tmp_path / "cache"), "models": []}) + "\n",
    )
    shutil.copytree(checkpoint, tmp_path / "cache" / "owner--model")
    code, out, _ = dsb("models", "list", "--json")
    [entry] = json.loads(out)["models"]
    assert (code, entry["id"], entry["backend"]) == (0, "owner/model", "qwen")
    (tmp_path / "cache" / "owner--model" / "model.safetensors").unlink()
    code, out, err = dsb("models", "list")
    assert code == 1
    assert "incomplete" in out
    assert "has no weights" in err
