"""Where encoded temporal patches are kept until no window can hold them any more."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from dsb._core import EmbeddingRing
from dsb.models.local.families.family import Family


class PatchRecords(Protocol):
    """The newest `capacity` patches, numbered from 0."""

    @property
    def capacity(self) -> int:
        """How many are kept."""

    @property
    def newest(self) -> int:
        """How many there have been."""

    def push(self, values: Tensor, pts_ns: int) -> None:
        """Keep (1 + depth, tokens, width), shown at `pts_ns` of stream time."""

    def get(self, start: int, stop: int) -> Tensor:
        """(stop - start, 1 + depth, tokens, width) on the model's device."""


class HostRecords:
    """In the core's ring: one contiguous view for every window."""

    def __init__(self, shape: tuple[int, int, int], dtype: torch.dtype, capacity: int) -> None:
        """`shape` is that of one patch."""
        self._shape = shape
        self._dtype = dtype
        size = shape[0] * shape[1] * shape[2] * dtype.itemsize
        self._ring = EmbeddingRing(record_bytes=size, capacity=capacity)

    @property
    def capacity(self) -> int:
        """How many are kept."""
        return self._ring.capacity

    @property
    def newest(self) -> int:
        """How many there have been."""
        return self._ring.newest

    def push(self, values: Tensor, pts_ns: int) -> None:
        """Copy a patch in."""
        self._ring.push(values.cpu().contiguous().view(torch.uint8).numpy().data, pts_ns)

    def get(self, start: int, stop: int) -> Tensor:
        """Copy patches out."""
        values = torch.empty((stop - start, *self._shape), dtype=self._dtype)
        records = values.view(torch.uint8).numpy().reshape(stop - start, -1)
        with self._ring.window(start, stop) as window:
            np.copyto(records, np.asarray(window))
        return values


class DeviceRecords:
    """In the memory of the device that computes, so that nothing travels; the ring is a tensor."""

    def __init__(
        self, shape: tuple[int, int, int], dtype: torch.dtype, capacity: int, device: torch.device
    ) -> None:
        """`shape` is that of one patch."""
        self.capacity = capacity
        self.newest = 0
        self._values = torch.empty((capacity, *shape), dtype=dtype, device=device)

    def push(self, values: Tensor, pts_ns: int) -> None:
        """Copy a patch in."""
        self._values[self.newest % self.capacity] = values
        self.newest += 1

    def get(self, start: int, stop: int) -> Tensor:
        """Copy patches out.

        Raises:
            IndexError: some of them are gone, or never came.
        """
        if not max(0, self.newest - self.capacity) <= start <= stop <= self.newest:
            raise IndexError(f"patches {start} to {stop - 1} are not here")
        places = torch.arange(start, stop, device=self._values.device) % self.capacity
        return self._values.index_select(0, places)


def records_for(family: Family, tokens: int, capacity: int) -> PatchRecords:
    """Room for `capacity` patches of `tokens` visual tokens, where they are needed."""
    shape = (1 + family.depth, tokens, family.width)
    if family.device.type == "cpu":
        return HostRecords(shape, family.dtype, capacity)
    return DeviceRecords(shape, family.dtype, capacity, family.device)


def record_bytes(family: Family, tokens: int) -> int:
    """Memory of one encoded patch."""
    return (1 + family.depth) * tokens * family.width * family.dtype.itemsize
