"""Fetching through the real Hugging Face client from a hub on this machine: whole or not taken for a checkpoint."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import threading
from pathlib import Path

import pytest

import sessions
from children import Child
from dsb.benchmarks.item import dump_items
from dsb.config.schema import ModelConfig, RunConfig
from dsb.errors import BenchmarkError, ModelError, ModelNotFound
from dsb.evaluation.prepare import prepare
from dsb.models.build import is_missing
from dsb.models.store import hugging_face, layout, manifest
from dsb.models.store.catalog import entries
from dsb.models.store.fetch import fetch
from hub_server import HubServer, Repository
from random_checkpoints import write_checkpoint

ID = "tiny/vl"
WEIGHTS = "model.safetensors"
PIECE = 1 << 16
#: What no loader reads.
USELESS = {
    "README.md": b"# a model",
    "pytorch_model.bin": b"the same again" * 999,
    "onnx/model.onnx": b"and again" * 999,
    "onnx/config.json": b"{}",
    "model.fp16.safetensors": b"and again" * 999,
    "training_args.bin": b"settings",
    "modeling_own.py": b"raise SystemExit",
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("hub") / "vl", "qwen2_5_vl")


@pytest.fixture
def server(tmp_path, checkpoint, monkeypatch):
    """The hub with one model, whose copies belong below `cache`."""
    folder = tmp_path / "upstream"
    shutil.copytree(checkpoint, folder)
    for path, content in USELESS.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(content)
    hub = HubServer({ID: Repository({"main": folder})})
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    monkeypatch.setenv("DSB_MODEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hugging_face, "_PIECE", PIECE)
    yield hub
    hub.close()


def upstream(server: HubServer, revision: str = "main") -> Path:
    return server.repositories[ID].revisions[revision]


def files_in(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and path.name != manifest.NAME
    }


# -- what comes ------------------------------------------------------------------------------------


def test_the_files_that_loading_needs_come_with_their_hashes(server, checkpoint):
    done = fetch(ID)
    assert done.folder == layout.folder_of(ID) == Path(os.environ["DSB_MODEL_CACHE"]) / "tiny--vl"
    assert files_in(done.folder) == files_in(checkpoint)
    written = manifest.read(done.folder)
    assert written == done.manifest
    assert (written.hub, written.id) == ("hf", ID)
    assert written.revision == server.repositories[ID].commit("main")
    for each in written.files:
        content = (checkpoint / each.path).read_bytes()
        assert (done.folder / each.path).read_bytes() == content
        assert (each.size, each.sha256) == (
            len(content),
            manifest.sha256(checkpoint / each.path),
        )


def test_a_fetched_checkpoint_is_found_by_its_id_and_loads(server, checkpoint):
    from dsb.models.local.checkpoint.load import load_checkpoint, settings_digest

    fetch(ID)
    loaded = load_checkpoint(ModelConfig(path=ID))
    assert loaded.folder == layout.folder_of(ID)
    # Where a checkpoint came from and when is no part of what identifies it.
    assert settings_digest(loaded.folder) == settings_digest(checkpoint)


def test_an_encoder_of_sentence_transformers_comes_with_its_modules(server, tmp_path):
    folder = tmp_path / "encoder"
    wanted = {
        "modules.json": '[{"path": ""}, {"path": "1_Pooling"}, {"path": "2_Dense"}]',
        "config.json": '{"model_type": "bert"}',
        "config_sentence_transformers.json": "{}",
        "sentence_bert_config.json": "{}",
        "vocab.txt": "a\nb",
        "tokenizer.json": "{}",
        "pytorch_model.bin": "no safetensors here",
        "1_Pooling/config.json": '{"word_embedding_dimension": 8}',
        "2_Dense/config.json": "{}",
        "2_Dense/model.safetensors": "numbers",
    }
    for path, text in {**wanted, "2_Dense/pytorch_model.bin": "x", "onnx/model.onnx": "y"}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    server.repositories["owner/encoder"] = Repository({"main": folder})
    assert files_in(fetch("owner/encoder").folder) == set(wanted)


def test_a_repository_without_a_checkpoint_is_refused(server, tmp_path):
    folder = tmp_path / "gguf"
    folder.mkdir()
    (folder / "model.Q4.gguf").write_bytes(b"x")
    server.repositories["owner/gguf"] = Repository({"main": folder})
    with pytest.raises(ModelError, match="holds no checkpoint"):
        fetch("owner/gguf")


# -- again -----------------------------------------------------------------------------------------


def test_the_same_fetch_again_asks_nobody(server):
    first = fetch(ID)
    server.asked.clear()
    again = fetch(ID)
    assert (again.received, again.manifest) == (0, first.manifest)
    assert fetch(ID, verify=True).received == 0
    assert fetch(ID, revision=first.manifest.revision).received == 0
    assert server.asked == []


def test_a_lost_file_is_fetched_again_alone(server):
    folder = fetch(ID).folder
    (folder / "config.json").unlink()
    with pytest.raises(ModelNotFound, match=r"misses config.json; go on with: dsb models fetch"):
        layout.find(ID)
    server.sent.clear()
    fetch(ID)
    assert set(server.sent) == {"config.json"}
    assert layout.find(ID) == folder


def test_verify_finds_a_damaged_file_and_fetches_it_again(server, checkpoint):
    folder = fetch(ID).folder
    good = (checkpoint / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert fetch(ID).received == 0, "sizes alone do not show it"
    server.sent.clear()
    fetch(ID, verify=True)
    assert set(server.sent) == {WEIGHTS}
    assert (folder / WEIGHTS).read_bytes() == good


def test_another_revision_replaces_the_copy_and_brings_what_differs(server, tmp_path):
    old = fetch(ID)
    newer = tmp_path / "newer"
    shutil.copytree(upstream(server), newer)
    (newer / "generation_config.json").unlink()
    (newer / "config.json").write_text((newer / "config.json").read_text() + "\n")
    server.repositories[ID].revisions["v2"] = newer
    server.sent.clear()
    new = fetch(ID, revision="v2")
    assert new.manifest.revision != old.manifest.revision
    assert WEIGHTS not in server.sent, "the hub says that it is the same"
    assert not (new.folder / "generation_config.json").exists()
    assert (new.folder / "config.json").read_text() == (newer / "config.json").read_text()
    assert fetch(ID).manifest == new.manifest, "without a revision the copy stays as it is"


# -- interrupted -----------------------------------------------------------------------------------


def test_a_killed_fetch_goes_on_where_it_stopped(server, checkpoint):
    size = (checkpoint / WEIGHTS).stat().st_size
    stop_at, reached, go_on = 4 * PIECE, threading.Event(), threading.Event()

    def hold(path: str, first: int, piece: bytes) -> bytes:
        if path == WEIGHTS and first >= stop_at and not go_on.is_set():
            reached.set()
            go_on.wait(60)
        return piece

    server.change = hold
    script = (
        "import sys, dsb.models.store.hugging_face as hugging_face\n"
        f"hugging_face._PIECE = {PIECE}\n"
        f"sys.argv = ['dsb', 'models', 'fetch', '{ID}']\n"
        "from dsb.cli.app import main\nmain()\n"
    )
    with Child([sys.executable, "-c", script]) as process:
        assert reached.wait(60)
        process.kill()
    go_on.set()

    folder = layout.folder_of(ID)
    assert layout.state(folder) == "incomplete"
    with pytest.raises(ModelNotFound, match=f"not fetched to its end; .* dsb models fetch {ID}$"):
        layout.find(ID)
    with pytest.raises(ModelNotFound, match="not fetched to its end"):
        layout.find(str(folder))
    [listed] = entries(layout.cache_dir())
    assert not listed.complete
    server.sent.clear()
    done = fetch(ID)
    assert server.sent[WEIGHTS] == size - stop_at
    assert done.received < done.manifest.size
    assert (done.folder / WEIGHTS).read_bytes() == (checkpoint / WEIGHTS).read_bytes()
    assert not (folder / layout.PARTIAL).exists()


def test_two_fetches_into_one_folder_do_not_meet(server):
    inside, go_on = threading.Event(), threading.Event()

    def hold(path: str, first: int, piece: bytes) -> bytes:
        inside.set()
        go_on.wait(60)
        return piece

    server.change = hold
    other = threading.Thread(target=fetch, args=(ID,))
    other.start()
    assert inside.wait(60)
    with pytest.raises(ModelError, match="another fetch"):
        fetch(ID)
    go_on.set()
    other.join()
    assert layout.state(layout.folder_of(ID)) == "fetched"


def test_bytes_that_change_on_the_way_are_noticed_and_fetched_anew(server, checkpoint):
    spoiled = []

    def spoil_once(path: str, first: int, piece: bytes) -> bytes:
        if path == WEIGHTS and not spoiled:
            spoiled.append(path)
            return bytes(len(piece))
        return piece

    server.change = spoil_once
    done = fetch(ID)
    assert spoiled
    assert (done.folder / WEIGHTS).read_bytes() == (checkpoint / WEIGHTS).read_bytes()


def test_a_small_file_that_changes_on_the_way_is_noticed_too(server):
    server.change = lambda path, first, piece: piece.replace(b"3", b"4")
    with pytest.raises(ModelError, match=r"config\.json.* came with another content"):
        fetch(ID)


def test_a_line_that_breaks_stops_the_fetch_and_keeps_what_came(server, checkpoint):
    server.change = lambda path, first, piece: b"" if first == PIECE else piece
    with pytest.raises(ModelError, match=f"{WEIGHTS} of {ID} did not come to its end"):
        fetch(ID)
    server.change = None
    server.sent.clear()
    fetch(ID)
    assert server.sent[WEIGHTS] < (checkpoint / WEIGHTS).stat().st_size


def test_a_line_that_always_changes_bytes_gives_no_checkpoint(server):
    server.change = lambda path, first, piece: bytes(len(piece)) if path == WEIGHTS else piece
    with pytest.raises(ModelError, match=f"{WEIGHTS} of {ID} came with another content"):
        fetch(ID)
    assert layout.state(layout.folder_of(ID)) == "incomplete"


# -- errors ----------------------------------------------------------------------------------------


def test_an_unknown_id_is_one_error(server):
    with pytest.raises(ModelNotFound, match="the hub knows no model tiny/none"):
        fetch("tiny/none")


def test_an_unknown_revision_is_one_error(server):
    with pytest.raises(ModelNotFound, match=f"{ID} has no revision 'v9'"):
        fetch(ID, revision="v9")


def test_a_gated_model_says_what_to_accept(server):
    server.gated.add(ID)
    with pytest.raises(ModelNotFound, match=f"{ID} is gated: accept its terms"):
        fetch(ID)


def test_what_is_not_an_id_is_refused_before_anybody_is_asked(server):
    with pytest.raises(ModelError, match="write owner/name"):
        fetch("just-a-name")
    assert server.asked == []


def test_a_folder_with_other_files_is_left_alone(server, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    with pytest.raises(ModelError, match="holds files that were not fetched"):
        fetch(ID, into=tmp_path / "mine")
    fetch(ID, into=tmp_path / "own")
    with pytest.raises(ModelError, match=f"holds {ID}"):
        fetch("tiny/other", into=tmp_path / "own")


def test_a_file_is_no_folder(server, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ModelError, match="is a file; give a folder"):
        fetch(ID, into=tmp_path / "file")
    with pytest.raises(ModelError, match="give another place"):
        fetch(ID, into=tmp_path / "file" / "below")


def test_a_full_disk_is_said_before_anything_comes(server, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ModelError, match=r"needs \d+ more bytes, but the disk of .* has 1000"):
        fetch(ID)
    assert server.sent == {}


def test_what_the_client_has_in_its_own_cache_is_taken_from_there(server, tmp_path, monkeypatch):
    import huggingface_hub

    commit = server.repositories[ID].commit("main")
    cached = tmp_path / "hf" / "models--tiny--vl"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(commit)
    (cached / "snapshots" / commit).mkdir(parents=True)
    shutil.copyfile(upstream(server) / WEIGHTS, cached / "snapshots" / commit / WEIGHTS)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    fetch(ID)
    assert WEIGHTS not in server.sent
    assert "config.json" in server.sent


def test_offline_one_error_says_where_the_files_belong(server, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    with pytest.raises(
        ModelError, match=r"cannot be reached .* copy that folder, .* to .*tiny--vl"
    ):
        fetch(ID)


def test_loading_an_id_asks_no_hub_and_names_the_command(server):
    with pytest.raises(ModelNotFound, match=rf"Fetch it with: dsb models fetch {ID}\. "):
        layout.find(ID)
    with pytest.raises(ModelNotFound, match="--hub modelscope"):
        layout.find(ID, "modelscope")
    assert server.asked == []


# -- a run -----------------------------------------------------------------------------------------


def test_a_run_fetches_the_models_that_are_not_here(server, tmp_path):
    items = tmp_path / "items.json"
    dump_items([sessions.question("a", 1.0, "a.mp4")], items)
    values = {"model": {"path": ID, "device": "cpu"}, "dataset": {"benchmark": str(items)}}
    config = RunConfig.model_validate(values)
    first = prepare(config)
    assert layout.state(layout.folder_of(ID)) == "fetched"
    server.asked.clear()
    assert prepare(config).identity == first.identity
    assert server.asked == []


def test_a_run_without_questions_fetches_no_model(server, tmp_path):
    data = {"data_dir": str(tmp_path / "nothing")}
    with pytest.raises(BenchmarkError):
        prepare(RunConfig.model_validate({"model": {"path": ID}, "dataset": data}))
    assert server.asked == []


def test_the_model_in_the_package_is_never_fetched():
    assert not is_missing(ModelConfig())
