"""`dsb models`: fetch checkpoints, list them, and check one before it is loaded."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dsb.cli.exit_codes import EPILOG, ExitCode
from dsb.cli.options import Json

if TYPE_CHECKING:
    from dsb.models.local.checkup.accelerators import Device

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=EPILOG,
    help="Fetch checkpoints from a hub, list them, and check one before it is loaded.\n\n"
    "Example: dsb models check embedded",
)

_CHECK_EPILOG = (
    "Exit status: 0 it is whole and fits; 1 it does not fit, or files are missing or damaged; 2 wrong "
    "command line or configuration; 3 not a checkpoint that runs here; 130 interrupted."
)
_LIST_EPILOG = (
    "Exit status: 0 every checkpoint is complete; 1 one is not; 2 wrong command line; 3 the cache "
    "cannot be read; 130 interrupted."
)


class HubName(StrEnum):
    """Where ids are looked up."""

    HF = "hf"
    MODELSCOPE = "modelscope"


@app.command("fetch", epilog=EPILOG)
def fetch(
    model_id: Annotated[str, typer.Argument(metavar="ID", help="Owner and name on the hub.")],
    hub: Annotated[HubName, typer.Option("--hub", help="Hugging Face or ModelScope.")] = HubName.HF,
    revision: Annotated[
        str | None, typer.Option("--revision", help="Branch, tag or commit; default: the hub's.")
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option("--into", help="Its folder; default: model_cache/OWNER--NAME."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare the hashes of files that are here already.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fetch a checkpoint, or a retrieval encoder of sentence-transformers.

    Brings the files that loading needs, safetensors where there are some, and no copies in other
    formats. An interrupted fetch goes on where it stopped; a complete one is left as it is, and
    damaged or lost files are fetched again. `model.path: ID` finds the copy. DSB_MODEL_CACHE names
    another place than model_cache/; HF_TOKEN or `hf auth login` open gated models.

    Example: dsb models fetch Qwen/Qwen2.5-VL-7B-Instruct
    """
    from dsb.cli.display import console
    from dsb.cli.display.bar import Transfer
    from dsb.models.store.fetch import fetch as fetch_model

    with Transfer(model_id) as progress:
        done = fetch_model(
            model_id,
            hub=hub.value,
            revision=revision,
            into=into,
            verify=verify,
            progress=progress,
        )
    if as_json:
        console.show_json(
            {
                "id": done.manifest.id,
                "hub": done.manifest.hub,
                "revision": done.manifest.revision,
                "folder": str(done.folder),
                "files": len(done.manifest.files),
                "bytes": done.manifest.size,
                "received": done.received,
            }
        )
        return
    was = "fetched" if done.received else "was here already"
    console.note(
        f"{model_id} {was}: {len(done.manifest.files)} files, "
        f"{console.bytes_text(done.manifest.size)}, revision {done.manifest.revision}"
    )
    console.show_paths({"folder": done.folder})
    console.show_next(f"dsb models check {done.folder}")


@app.command("list", epilog=_LIST_EPILOG)
def list_models(as_json: Json = False) -> None:
    """List the checkpoints in model_cache/, and what runs them.

    Example: dsb models list
    """
    from dataclasses import asdict

    from dsb.cli.display import console
    from dsb.models.store.catalog import entries
    from dsb.models.store.layout import cache_dir

    found = entries(cache_dir())
    if as_json:
        console.show_json({"cache": str(cache_dir()), "models": [asdict(each) for each in found]})
    elif not found:
        console.note(f"no checkpoint in {cache_dir()}; fetch one with: dsb models fetch ID")
    else:
        from dsb.cli.display.models import listing

        console.show(listing(found))
        for entry in found:
            for problem in entry.problems[:3]:
                console.note(f"{entry.id}: {problem}")
    if not all(entry.complete for entry in found):
        raise typer.Exit(ExitCode.INCOMPLETE)


@app.command("check", epilog=_CHECK_EPILOG)
def check(
    path: Annotated[str, typer.Argument(metavar="PATH", help="Folder, hub id or `embedded`.")],
    config: Annotated[
        str | None,
        typer.Option("--config", metavar="CONFIG", help="A YAML file; default: the defaults."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("-s", "--set", metavar="KEY=VALUE", help="Set any value; can be repeated."),
    ] = None,
    gpu: Annotated[
        str | None, typer.Option("--gpu", metavar="NAME", help="For this GPU, such as h200.")
    ] = None,
    device_memory: Annotated[
        int | None,
        typer.Option("--device-memory", "--memory", metavar="BYTES", min=1, help="Its memory."),
    ] = None,
    bandwidth: Annotated[
        float | None,
        typer.Option("--bandwidth", metavar="BYTES/S", min=1, help="Bandwidth of its memory."),
    ] = None,
    flops: Annotated[
        float | None,
        typer.Option("--flops", metavar="FLOP/S", min=1, help="Its dense peak in model.dtype."),
    ] = None,
    video_size: Annotated[
        str, typer.Option("--video-size", metavar="WxH", help="Size of the videos.")
    ] = "1280x720",
    as_json: Json = False,
) -> None:
    """Say what a model needs under a configuration, without loading its weights.

    Checks the files and the chat template; prints parameters, memory (weights, keys and values per
    frame and hour, arena, visual cache), floors of encoding, prefill, first token and decoding, and
    whether it fits: the device of `model.device`, --gpu NAME, or one given in numbers.

    Example: dsb models check embedded --config quickstart --gpu h200
    """
    from dsb.cli.display import console
    from dsb.cli.display.models import as_dict, findings
    from dsb.evaluation.configuration import load_run_config
    from dsb.models.local.checkup.examine import examine

    loaded = load_run_config(config or "config", list(overrides or [])).config
    device = _device(gpu, loaded.model.device, device_memory, bandwidth, flops)
    found = examine(_folder(path, loaded.model.hub), loaded, device, _size(video_size))
    if as_json:
        console.show_json(as_dict(found))
    else:
        console.show_pairs(findings(found))
        for problem in found.problems:
            console.note(f"problem: {problem}")
    if found.problems or not found.fits:
        raise typer.Exit(ExitCode.INCOMPLETE)


def _folder(path: str, hub: str) -> Path:
    from dsb.config.schema import ModelConfig
    from dsb.models.build import resolved
    from dsb.models.store.layout import find

    return find(resolved(ModelConfig(path=path)).path, hub)


def _device(
    gpu: str | None,
    configured: str,
    memory: int | None,
    bandwidth: float | None,
    flops: float | None,
) -> Device:
    from dataclasses import replace

    from dsb.models.local.checkup.accelerators import detected, known

    device = known(gpu) if gpu else detected(configured)
    if memory is not None:
        device = replace(device, memory=memory, reserve=0)
    if bandwidth is not None:
        device = replace(device, bandwidth=bandwidth)
    if flops is not None:
        device = replace(device, half_flops=flops, single_flops=flops)
    return device


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise typer.BadParameter(f"{text!r} is no size; write WIDTHxHEIGHT, such as 1280x720")
    return int(width), int(height)
