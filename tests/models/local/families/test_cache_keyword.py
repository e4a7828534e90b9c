"""The text tower's word for a cache is read off its signature."""

from __future__ import annotations

from functools import partial, update_wrapper, wraps
from types import SimpleNamespace

import pytest

from dsb.errors import ModelError
from dsb.models.local.families.cache_keyword import cache_keyword


def new(inputs_embeds=None, cache=None, **kwargs):
    """As from transformers 5.24 on."""


def old(inputs_embeds=None, past_key_values=None, **kwargs):
    """As up to transformers 5.23."""


def renaming(forward):
    """As transformers wraps a forward for those who still use the old name."""

    @wraps(forward)
    def wrapped(*args, **kwargs):
        return forward(*args, **kwargs)

    return wrapped


def hooked(forward):
    """As accelerate replaces the forward of a module that it moves."""
    return update_wrapper(partial(lambda module, *args, **kwargs: None, None), forward)


@pytest.mark.parametrize(("forward", "name"), [(new, "cache"), (old, "past_key_values")])
def test_the_name_is_that_of_the_signature(forward, name):
    for wrapped in (forward, renaming(renaming(forward)), hooked(renaming(forward))):
        assert cache_keyword(SimpleNamespace(forward=wrapped)) == name


def test_a_tower_without_a_cache_is_refused():
    """Other keywords would swallow the cache without a word."""

    def forward(inputs_embeds=None, **kwargs):
        pass

    with pytest.raises(ModelError, match="neither as cache nor as past_key_values"):
        cache_keyword(SimpleNamespace(forward=forward))
