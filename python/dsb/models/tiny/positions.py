"""M-RoPE positions of a prompt, by the family's reference rule.

The stock classes answer worse, and say nothing, when `position_ids` is left out: always pass these,
and set `model.model.rope_deltas = None` between prompts that are built by hand.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dsb.models.tiny.architecture import TOKENS_PER_UNIT

#: Seconds between units at 1 frame per second; positions along the time axis count seconds.
UNIT_STEP = 2


def visual_positions(
    units: int, start: int, first_unit: int = 0, unit_step: int = UNIT_STEP
) -> Tensor:
    """Return (3, 4 * units) positions (time, row, column) of `units` consecutive units.

    Args:
        start: number of tokens before the first visual token.
        first_unit: index of the first unit on the clip's own clock.
        unit_step: `tokens_per_second` times the seconds that a unit spans (2 / fps).
    """
    index = torch.arange(first_unit, first_unit + units)
    time = index.repeat_interleave(TOKENS_PER_UNIT) * unit_step
    row = torch.tensor([0, 0, 1, 1]).repeat(units)
    column = torch.tensor([0, 1, 0, 1]).repeat(units)
    return torch.stack([time, row, column]) + start


def text_start(last_unit: int, start: int, unit_step: int = UNIT_STEP) -> int:
    """Return the position of the first text token after the visual tokens.

    It is one more than the largest position on any axis; the rows and columns of a single unit
    reach 1, also where its time is 0.
    """
    return start + max(last_unit * unit_step, 1) + 1


def prompt_positions(prefix: int, units: int, length: int, unit_step: int = UNIT_STEP) -> Tensor:
    """Return (3, length) positions of a whole prompt: prefix, `units` visual units, text."""
    text = torch.arange(length - prefix - TOKENS_PER_UNIT * units)
    return torch.cat(
        [
            torch.arange(prefix).expand(3, -1),
            visual_positions(units, prefix, 0, unit_step),
            (text_start(units - 1, prefix, unit_step) + text).expand(3, -1),
        ],
        1,
    )
