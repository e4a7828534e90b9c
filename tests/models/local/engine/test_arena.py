"""The arena and who stays in it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dsb.errors import OutOfMemory
from dsb.models.local.engine.arena import SCRATCH, Arena, Share
from dsb.models.local.engine.eviction import Residency

LAYERS, HEADS, WIDTH = 2, 3, 4


class _Text(SimpleNamespace):
    pass


def empty_arena(limit: int = 1 << 20) -> Arena:
    """For a language model of two attention layers."""
    text = _Text(
        num_hidden_layers=LAYERS,
        num_attention_heads=6,
        num_key_value_heads=HEADS,
        head_dim=WIDTH,
        layer_types=["full_attention"] * LAYERS,
        model_type="test",
    )
    tower = SimpleNamespace(layers=nn.ModuleList(nn.Linear(1, 1) for _ in range(LAYERS)))
    model = SimpleNamespace(
        config=SimpleNamespace(get_text_config=lambda: text),
        model=SimpleNamespace(language_model=tower),
    )
    return Arena(model, limit, torch.float32)


def write(arena: Arena, shares: list[Share], start: float) -> list[tuple[int, float]]:
    """Write tokens whose keys and values name them; returns (owner, name) of each."""
    count = sum(share.tokens for share in shares)
    arena.extend(shares)
    names = start + torch.arange(count, dtype=torch.float32)
    for layer in range(LAYERS):
        block = (names + layer / 8)[None, None, :, None].expand(1, HEADS, count, WIDTH)
        keys, values = arena.cache.update(block, -block, layer)
        assert keys.shape == values.shape == (1, HEADS, arena.used, WIDTH)
        assert torch.equal(keys, -values)
    owners = [share.owner for share in shares for _ in range(share.tokens)]
    return list(zip(owners, names.tolist(), strict=True))


def fail(arena: Arena, shares: list[Share], start: float) -> None:
    with arena.attempt():
        write(arena, shares, start)
        raise KeyError("midway")


def held(arena: Arena) -> list[tuple[int, float]]:
    """(owner, name) of every live slot, sorted; all layers and heads must agree."""
    owners = {slot: owner for owner in arena.owners() for slot in arena.slots(owner)}
    assert sorted(owners) == list(range(arena.used))
    if not arena.used:
        return []
    (keys,) = arena.keys(range(arena.used))
    for layer in range(LAYERS):
        assert torch.equal(keys[layer], keys[0] + layer / 8)
    assert torch.equal(keys[0, 0], keys[0, HEADS - 1])
    return sorted((owners[slot], float(keys[0, 0, slot, 0])) for slot in range(arena.used))


@given(data=st.data())
def test_an_arena_holds_what_a_list_holds(data: st.DataObject) -> None:
    """Under any order of appending, rolling back, failing, evicting and growing."""
    arena = empty_arena()
    expected: list[tuple[int, float]] = []
    sinks: set[int] = set()
    name, owner = 0.0, 0
    for _ in range(data.draw(st.integers(1, 12), label="steps")):
        action = data.draw(st.sampled_from(["commit", "try", "fail", "evict"]), label="action")
        if action == "evict":
            there = sorted({each for each, _ in expected} - sinks)
            victims = data.draw(st.sets(st.sampled_from(there)) if there else st.just(set()))
            arena.evict(sorted(victims))
            expected = [each for each in expected if each[0] not in victims]
        else:
            counts = data.draw(st.lists(st.integers(1, 300), min_size=1, max_size=3))
            sink = owner == 0
            shares = [Share(owner + i, count, sink) for i, count in enumerate(counts)]
            if action == "commit":
                with arena.attempt():
                    expected += write(arena, shares, name)
                sinks |= {share.owner for share in shares if sink}
                owner += len(counts)
            elif action == "try":
                with arena.trial():
                    write(arena, [Share(SCRATCH, sum(counts))], name)
            else:
                with pytest.raises(KeyError):
                    fail(arena, shares, name)
            name += sum(counts)
        assert held(arena) == sorted(expected)


def test_an_arena_that_may_not_grow_says_what_would_help() -> None:
    arena = empty_arena(limit=1000 * LAYERS * 2 * HEADS * WIDTH * 4)
    with arena.attempt():
        write(arena, [Share(0, 900)], 0.0)
    before = held(arena)
    with pytest.raises(OutOfMemory, match="arena_bytes allows 1000 tokens"), arena.trial():
        arena.extend([Share(SCRATCH, 200)])
    assert held(arena) == before


# -- who stays -------------------------------------------------------------------------------------


def arrivals(residency: Residency, count: int, first: int = 0) -> Iterator[list[int]]:
    for number in range(count):
        residency.admit(number, first)
        yield residency.patches


@pytest.mark.parametrize("policy", ["oldest", "random", "stride-thinned"])
@given(budget=st.integers(1, 9), sinks=st.integers(0, 3), seed=st.integers(0, 9))
def test_the_newest_and_the_sinks_stay_and_no_more_than_the_budget(
    policy: str, budget: int, sinks: int, seed: int
) -> None:
    residency = Residency(budget, policy, seed=seed, sinks=sinks)
    for newest, here in enumerate(arrivals(residency, 40)):
        assert here[-1] == newest
        assert here[:sinks] == list(range(min(sinks, newest + 1)))
        assert len(here) == min(newest + 1, budget + sinks)


def test_the_oldest_leaves() -> None:
    residency = Residency(3)
    assert list(arrivals(residency, 5))[-1] == [2, 3, 4]


def test_what_is_before_the_window_leaves_even_where_there_is_room() -> None:
    residency = Residency(5, sinks=1)
    list(arrivals(residency, 4))
    assert residency.admit(4, first=3) == [1, 2]
    assert residency.move(4) == [3]
    assert residency.patches == [0, 4]


def test_thinning_keeps_patches_of_the_whole_stream() -> None:
    residency = Residency(8, "stride-thinned")
    here = list(arrivals(residency, 200))[-1]
    gaps = [b - a for a, b in itertools.pairwise(here)]
    assert here[0] == 0
    assert max(gaps) <= 3 * 200 / 8


def test_random_eviction_depends_on_its_seed_alone() -> None:
    runs = [list(arrivals(Residency(4, "random", seed=seed), 30)) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_admitting_the_newest_again_changes_nothing() -> None:
    """A lone frame is admitted when it is asked about, and its patch when it is complete."""
    for policy in ("oldest", "random", "stride-thinned"):
        once, twice = (Residency(3, policy, seed=4) for _ in range(2))
        for number in range(12):
            gone = once.admit(number, 0)
            assert twice.admit(number, 0) == gone
            assert twice.admit(number, 0) == []
            assert once.patches == twice.patches
