"""A tree of tokens behind a context: questions, and the candidates behind those.

All tokens of a tree lie in the scratch of one arena. A token sees the context, the earlier tokens of its own branch
and those of the branches above it, and nothing of its siblings; so any number of questions share one context, and
each forward computes all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from dsb.models.local.engine.arena import SCRATCH, Arena, Share
from dsb.models.local.engine.context import Unread
from dsb.models.local.engine.forward import Forward
from dsb.models.local.engine.recurrent import Snapshot
from dsb.models.local.families.tokens import Tokens


class TokenTree:
    """Branches of tokens, for as long as the arena's trial lasts."""

    def __init__(
        self,
        forward: Forward,
        arena: Arena,
        visible: Sequence[int] | None = None,
        unread: Unread | None = None,
    ) -> None:
        """`visible` are the slots of the context that the tree sees; `None` is all. What is `unread` of the context
        is read in the tree's first forward, and stays.
        """
        self._forward = forward
        self._arena = arena
        self._unread = unread
        self._forget = arena.way_back()
        self._base = arena.used
        self._context: Tensor | None = None
        if visible is not None and len(visible) < self._base:
            self._context = torch.zeros(self._base, dtype=torch.bool)
            self._context[torch.tensor(visible, dtype=torch.long)] = True
        #: Branch of every token of the tree.
        self._owners: list[int] = []
        #: Per branch, the branches that it sees: itself and those above it.
        self._sees: list[frozenset[int]] = []
        self._parents: list[int | None] = []
        #: With a recurrent state: that of every branch with tokens, and that of the context.
        self._states: dict[int | None, Snapshot] = {}
        if arena.recurrent is not None:
            self._states[None] = arena.recurrent.snapshot()
        #: Tokens that went through the model.
        self.computed = 0

    @classmethod
    @contextmanager
    def grown(
        cls,
        forward: Forward,
        arena: Arena,
        visible: Sequence[int] | None = None,
        unread: Unread | None = None,
    ) -> Iterator[TokenTree]:
        """A tree that leaves no trace in the arena but what was `unread`."""
        tree = cls(forward, arena, visible, unread)
        try:
            yield tree
        finally:
            tree._forget()

    def branch(self, parent: int | None = None) -> int:
        """A new branch that grows from `parent`, or from the context."""
        new = len(self._sees)
        above = frozenset() if parent is None else self._sees[parent]
        self._sees.append(above | {new})
        self._parents.append(parent)
        return new

    def extend(self, rows: Sequence[tuple[int, Tokens]]) -> Tensor:
        """Append tokens to branches in one forward; returns the hidden states of all, (sum of n, width).

        A recurrent state has no branches, so with one each row is a forward of its own, from a copy.
        """
        if self._states:
            return torch.cat([self._resume(branch, tokens) for branch, tokens in rows])
        return self._compute(rows)

    def _resume(self, branch: int, tokens: Tokens) -> Tensor:
        recurrent = self._arena.recurrent
        if recurrent is None:
            raise ValueError("the model has no recurrent state")
        origin: int | None = branch
        while origin is not None and origin not in self._states:
            origin = self._parents[origin]
        recurrent.restore(self._states[origin])
        hidden = self._compute([(branch, tokens)])
        self._states[branch] = recurrent.snapshot()
        return hidden

    def _compute(self, rows: Sequence[tuple[int, Tokens]]) -> Tensor:
        fresh = [branch for branch, tokens in rows for _ in range(len(tokens))]
        parts, first = [tokens for _, tokens in rows], 0
        if self._unread is not None:
            first = len(self._unread.tokens)
            parts.insert(0, self._unread.tokens)
            self._arena.extend(self._unread.shares)
            self._forget = self._arena.way_back()
        self._arena.extend([Share(SCRATCH, len(fresh))], along=first > 0)
        mask = self._mask(fresh, [branch for branch, _ in rows], first)
        hidden = self._forward.hidden(Tokens.join(parts), self._arena, mask)
        self._unread = None
        self._base += first
        self._owners += fresh
        self.computed += first + len(fresh)
        return hidden[first:]

    def _mask(self, fresh: list[int], branches: list[int], first: int) -> Tensor | None:
        """(first + new, context + first + tree), where `first` tokens of the context are read now; `None` when plain
        causality says the same.
        """
        if self._context is None and self._is_chain(branches):
            return None
        sees = torch.tensor(
            [[other in seen for other in range(len(self._sees))] for seen in self._sees]
        )
        owners = torch.tensor(self._owners + fresh)
        base = self._base + first
        mask = torch.ones((first + len(fresh), base + len(owners)), dtype=torch.bool)
        mask[:first] = mask[:first].tril(self._base)
        if self._context is not None:
            mask[:, : self._base] = self._context
        mask[first:, base:] = sees[torch.tensor(fresh)][:, owners].tril(len(self._owners))
        return mask.to(self._forward.family.device)

    def _is_chain(self, branches: list[int]) -> bool:
        earlier = set(self._owners)
        for branch in branches:
            if not self._sees[branch] >= earlier:
                return False
            earlier.add(branch)
        return True
