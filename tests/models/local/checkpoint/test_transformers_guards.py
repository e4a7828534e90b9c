"""What the engine relies on inside transformers, for every family."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import transformers
from packaging.requirements import Requirement
from packaging.version import Version
from transformers import AttentionInterface, DynamicCache
from transformers.cache_utils import Cache, CacheLayerMixin, LinearAttentionLayer

from dsb.config.schema import ModelConfig
from dsb.errors import ModelError
from dsb.models.local.checkpoint import guards
from dsb.models.local.checkpoint.load import load_checkpoint
from dsb.models.local.families import FAMILIES
from dsb.models.local.families.family import Family
from dsb.models.local.families.tokens import Tokens
from paths import ROOT
from random_checkpoints import write_checkpoint

BACKENDS = {kind: backend for backend, kinds in FAMILIES.items() for kind in kinds}
PYPROJECT = ROOT / "pyproject.toml"


@pytest.fixture(scope="module", params=sorted(BACKENDS))
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Family:
    folder = write_checkpoint(tmp_path_factory.mktemp(request.param), request.param)
    config = ModelConfig(backend=BACKENDS[request.param], path=str(folder), device="cpu", threads=1)
    return load_checkpoint(config).family


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


# -- the check at load -----------------------------------------------------------------------------


@pytest.fixture
def unchecked() -> Iterator[None]:
    guards.check_guards.cache_clear()
    yield
    guards.check_guards.cache_clear()


@pytest.mark.parametrize("guard", guards.GUARDS, ids=lambda guard: guard.__name__)
def test_a_guard_holds_in_this_version(guard: Callable[[], bool]) -> None:
    assert guard()


@pytest.mark.usefixtures("unchecked")
def test_a_broken_guard_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def keys_are_kept() -> bool:
        """Keys are kept. More words."""
        return False

    def values_are_kept() -> bool:
        raise KeyError("gone")

    monkeypatch.setattr(guards, "GUARDS", (*guards.GUARDS, keys_are_kept, values_are_kept))
    with pytest.raises(ModelError) as caught:
        guards.check_guards()
    message = str(caught.value)
    assert "keys_are_kept: Keys are kept; values_are_kept: KeyError: 'gone'" in message
    assert message.startswith(f"transformers {transformers.__version__} works differently")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("installed", "advised"),
    [
        (guards.OLDEST, guards.NEWEST),
        ("5.23.0", guards.NEWEST),
        (guards.NEWEST, guards.OLDEST),
        (f"{guards.NEWEST}.dev0", guards.OLDEST),
        (f"{guards.NEWEST}+local", guards.OLDEST),
        ("5.24.7", guards.NEWEST),
    ],
)
def test_a_broken_guard_advises_another_version_that_passes(
    monkeypatch: pytest.MonkeyPatch, installed: str, advised: str
) -> None:
    monkeypatch.setattr(guards.transformers, "__version__", installed)
    monkeypatch.setattr(guards, "GUARDS", (lambda: False,))
    with pytest.raises(ModelError) as caught:
        guards.check_guards()
    assert str(caught.value).endswith(
        f"report this version, and until then: pip install 'transformers=={advised}'"
    )


@pytest.mark.usefixtures("unchecked")
def test_a_guard_of_masks_breaks_when_a_mask_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a future version made masks for functions without a mask function."""
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    made = ALL_MASK_ATTENTION_FUNCTIONS["sdpa"]
    monkeypatch.setitem(ALL_MASK_ATTENTION_FUNCTIONS._global_mapping, "dsb_guard", made)
    assert any(line.startswith("no_mask_is_made") for line in guards.broken_guards())


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("4.57.6", "is older than 5.20.1, the oldest that works"),
        ("5.20.0", "is older than 5.20.1, the oldest that works"),
        ("5.25.0.dev0", "is newer than any that was tried"),
        ("5.25.0", "is newer than any that was tried"),
        ("6.0.0", "is newer than any that was tried"),
    ],
)
def test_a_version_out_of_range_is_refused_and_the_newest_tried_advised(
    monkeypatch: pytest.MonkeyPatch, version: str, reason: str
) -> None:
    monkeypatch.setattr(guards.transformers, "__version__", version)
    with pytest.raises(ModelError) as caught:
        guards.check_guards()
    assert str(caught.value) == (
        f"transformers {version} {reason}; pip install 'transformers==5.24.0'"
    )


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("version", [f"{guards.OLDEST}.dev0", f"{guards.NEWEST}+local", "5.24.7"])
def test_versions_inside_the_range_are_allowed(
    monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr(guards.transformers, "__version__", version)
    guards.check_guards()


def test_the_range_is_that_of_the_package() -> None:
    """From the oldest to below the minor version behind the newest, so that its patches come in."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    lines = [Requirement(each) for each in project["dependencies"]]
    (line,) = (each for each in lines if each.name == "transformers")
    major, minor, *_ = Version(guards.NEWEST).release
    assert line.specifier == Requirement(f"x>={guards.OLDEST},<{major}.{minor + 1}").specifier
    assert Version(transformers.__version__) in line.specifier


# -- the cache -------------------------------------------------------------------------------------


def test_a_layer_is_called_with_keys_and_values_alone() -> None:
    assert list(inspect.signature(CacheLayerMixin.update).parameters)[:3] == [
        "self", "key_states", "value_states",
    ]  # fmt: skip
    assert list(inspect.signature(CacheLayerMixin.get_mask_sizes).parameters) == [
        "self", "query_length",
    ]  # fmt: skip
    for name in ("get_seq_length", "get_max_length"):
        assert list(inspect.signature(getattr(CacheLayerMixin, name)).parameters) == ["self"]


def test_a_cache_may_mix_layers_of_both_kinds() -> None:
    layers = [LinearAttentionLayer(number_of_states=1), guards._Recorder()]
    assert Cache(layers=layers).get_seq_length() == 0


# -- every family ----------------------------------------------------------------------------------


def line(family: Family, count: int, start: int = 0) -> Tokens:
    """Some text."""
    return Tokens(family.embed(range(20, 20 + count)), family.line(start, count))


def masks_seen(family: Family, mask: torch.Tensor | None) -> list[torch.Tensor | None]:
    """What an attention function without a mask function gets behind five cached tokens, per layer."""
    seen: list[torch.Tensor | None] = []

    def attend(module: Any, query: Any, key: Any, value: Any, given: Any, **_: Any) -> Any:
        seen.append(given)
        return query.transpose(1, 2), None

    AttentionInterface.register("dsb_guard", attend)
    text = family.model.config.text_config
    before = text._attn_implementation
    cache = DynamicCache(config=family.model.config)
    family.hidden(line(family, 5), cache, None)
    try:
        family.model.set_attn_implementation({"text_config": "dsb_guard"})
        family.hidden(line(family, 3, start=5), cache, mask)
    finally:
        family.model.set_attn_implementation({"text_config": before})
    return seen


def test_no_mask_is_made_behind_cached_tokens(family: Family) -> None:
    seen = masks_seen(family, None)
    assert seen
    assert all(each is None for each in seen)


def test_our_mask_arrives_as_it_is(family: Family) -> None:
    mask = torch.rand((3, 8), generator=torch.Generator().manual_seed(0)) > 0.3
    seen = masks_seen(family, mask)
    assert seen
    for each in seen:
        assert each is not None
        assert torch.equal(each, mask[None, None])


def test_the_text_tower_takes_what_we_give_it(family: Family) -> None:
    tower = family.model.model.language_model
    parameters = inspect.signature(tower.forward).parameters
    wanted = {"inputs_embeds", "position_ids", "attention_mask", "use_cache"}
    wanted.add(family.cache_keyword)
    if family.depth:
        wanted |= {"visual_pos_masks", "deepstack_visual_embeds"}
    assert wanted <= set(parameters)
    assert len(tower.layers) == family.model.config.text_config.num_hidden_layers


def test_the_text_tower_writes_what_it_reads_into_our_cache(family: Family) -> None:
    cache = DynamicCache(config=family.model.config)
    family.hidden(line(family, 5), cache, None)
    family.hidden(line(family, 3, start=5), cache, None)
    assert cache.get_seq_length() == 8


def test_positions_are_ours_and_no_state_of_the_model_counts(family: Family) -> None:
    """`rope_deltas` of another stream once moved every token of this one."""
    tokens = line(family, 6)
    alone = family.hidden(tokens, DynamicCache(config=family.model.config), None)
    family.model.model.rope_deltas = torch.tensor([[1000]])
    beside = family.hidden(tokens, DynamicCache(config=family.model.config), None)
    assert torch.equal(alone, beside)
    places = tokens.positions * 3
    moved = family.hidden(
        Tokens(tokens.embeds, places), DynamicCache(config=family.model.config), None
    )
    assert not torch.allclose(alone, moved, atol=1e-4)


def test_rotations_add_up_on_all_axes(family: Family) -> None:
    rotary = family.model.model.language_model.rotary_emb
    probe = torch.zeros((), dtype=torch.float32)

    def turn(*places: int) -> tuple[torch.Tensor, torch.Tensor]:
        where = torch.tensor(places[: family.axes])[:, None]
        cos, sin = rotary(probe, where[:, None] if family.axes > 1 else where)
        assert cos.shape == sin.shape == (1, 1, cos.shape[-1])
        return cos, sin

    one, two, both = turn(2, 5, 7), turn(30, 11, 4), turn(32, 16, 11)
    torch.testing.assert_close(both[0], one[0] * two[0] - one[1] * two[1], rtol=0, atol=1e-5)
    torch.testing.assert_close(both[1], one[1] * two[0] + one[0] * two[1], rtol=0, atol=1e-5)
    # The halves of a key are turned together.
    first, second = both[0].chunk(2, dim=-1)
    assert torch.equal(first, second)


def test_a_patch_has_the_tokens_that_the_grid_says(family: Family) -> None:
    size = family.frame_size((150, 90))
    frames = torch.zeros((family.span, size[1], size[0], 3), dtype=torch.uint8)
    shape = (1 + family.depth, family.grid(size).tokens, family.width)
    assert family.encode(frames).shape == shape
