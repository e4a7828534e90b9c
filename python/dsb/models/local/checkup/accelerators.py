"""What `dsb models check` may be asked about: devices, their memory and speed.

Peaks are dense, without sparsity, from the makers' data sheets (NVIDIA: B200, H200, H100, A100, A10, L40S, L4, T4
product briefs; GeForce architecture white papers for Blackwell, Ada and Ampere, with float32 accumulation). Memory
is what a program can have: a little below the number on the box.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from dsb.errors import ConfigError
from dsb.models.local.checkup.roofline import Speed

_GIB = 1 << 30
_TERA = 1e12
#: What the driver and the libraries keep on a GPU before the first weight.
GPU_RESERVE = 1 * _GIB


@dataclass(frozen=True)
class Device:
    """Memory in bytes; speeds where they are known."""

    name: str
    memory: int
    bandwidth: float | None = None
    #: Operations per second in bfloat16 or float16, and in float32.
    half_flops: float | None = None
    single_flops: float | None = None
    reserve: int = 0

    @property
    def usable(self) -> int:
        """Memory for a model and what it computes, in bytes."""
        return self.memory - self.reserve

    def speed(self, dtype: str) -> Speed | None:
        """Its speed in a precision; `None` where that is not known."""
        flops = self.single_flops if dtype == "float32" else self.half_flops
        if flops is None or self.bandwidth is None:
            return None
        return Speed(flops, self.bandwidth)


#: Name -> GiB, TB/s, TFLOP/s in 16 bit, TFLOP/s in float32.
_TABLE = {
    "b200": (178, 8.0, 2250, 75),
    "h200": (139, 4.8, 989, 67),
    "h100": (79, 3.35, 989, 67),
    "h100-pcie": (79, 2.0, 756, 51),
    "a100-80gb": (79, 2.039, 312, 19.5),
    "a100-40gb": (39, 1.555, 312, 19.5),
    "l40s": (44, 0.864, 362, 91.6),
    "l4": (22, 0.3, 121, 30.3),
    "a10": (22, 0.6, 125, 31.2),
    "t4": (15, 0.32, 65, 8.1),
    "rtx-5090": (31, 1.792, 209.5, 104.8),
    "rtx-4090": (23, 1.008, 165.2, 82.6),
    "rtx-3090": (23, 0.936, 71, 35.6),
}
NAMES = tuple(_TABLE)


def known(name: str) -> Device:
    """The GPU called `name`. Raises `ConfigError` with the names there are."""
    row = _TABLE.get(name.lower())
    if row is None:
        raise ConfigError(
            f"no GPU called {name!r} is known; known: {', '.join(NAMES)}; or give --device-memory, --bandwidth "
            "and --flops"
        )
    memory, bandwidth, half, single = row
    return Device(
        name.lower(),
        memory * _GIB,
        bandwidth * _TERA,
        half * _TERA,
        single * _TERA,
        GPU_RESERVE,
    )


def detected(device: str) -> Device:
    """The device that `model.device` would use on this machine; speeds only if the GPU is in the table.

    Raises:
        ModelError: no such device here.
    """
    import torch

    from dsb.models.local.checkpoint.placement import pick_device

    place = pick_device(device)
    if place.type != "cuda":
        pages = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return Device(place.type, pages)
    memory = torch.cuda.get_device_properties(place).total_memory
    return of_gpu(torch.cuda.get_device_name(place), memory)


def of_gpu(name: str, memory: int) -> Device:
    """A GPU by the name that its driver gives it; with speeds if the table has one of that name and memory."""
    words = set(name.lower().replace("-", " ").split())
    for key in sorted(_TABLE, key=len, reverse=True):
        found = known(key)
        if words >= set(key.split("-")) and abs(found.memory - memory) < 4 * _GIB:
            return replace(found, name=name, memory=memory)
    return Device(name, memory, reserve=GPU_RESERVE)
