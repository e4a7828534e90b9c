"""`pytest --fast` leaves out what needs a model or a process, by itself, and nothing else."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from children import run
from paths import SUPPORT

CONFTEST = """
from fast import Fast

def pytest_configure(config):
    config.pluginmanager.register(Fast())
"""
TESTS = """
import importlib
import subprocess
import threading

import pytest

@pytest.fixture(scope="module")
def made():
    subprocess.run(["true"])

def start():
    try:
        subprocess.run(["true"])
    except BaseException:
        pass

def test_light():
    pass

def test_wrong():
    assert False

def test_starts_a_process():
    subprocess.run(["true"])

def test_uses_what_a_process_has_made(made):
    pass

def test_starts_one_in_a_thread():
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert False, "nothing was started"

def test_loads_a_model():
    importlib.import_module("torch")

def test_wrong_after_those_that_were_skipped():
    assert False
"""


def test_what_needs_a_process_or_a_model_is_skipped_and_what_is_wrong_fails(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_all_kinds.py").write_text(TESTS)
    (tmp_path / "test_model.py").write_text("import torch\ndef test_it(): pass\n")
    options = ["-rA", "-c", "/dev/null", "--rootdir", tmp_path, "-o", f"pythonpath={SUPPORT}"]
    done = run([sys.executable, "-m", "pytest", *options, tmp_path], text=True)
    passed, failed = (
        re.findall(rf"^{kind} \S+::(\w+)", done.stdout, re.MULTILINE)
        for kind in ("PASSED", "FAILED")
    )
    assert passed == ["test_light"]
    assert failed == ["test_wrong", "test_wrong_after_those_that_were_skipped"]
    assert "2 failed, 1 passed, 5 skipped" in done.stdout
