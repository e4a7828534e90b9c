"""A backend that answers questions about colors by counting pixels: no weights, no network, no chance.

The probability of a color is the share of the pixels in its window that look like it. So a system with a short window
knows which color it is now, and one with a long window which color it was for most of the time.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from importlib import metadata

import numpy as np
import numpy.typing as npt

import dsb

#: Color -> red, green, blue.
PALETTE: Mapping[str, tuple[int, int, int]] = {
    "black": (15, 15, 15),
    "blue": (30, 60, 220),
    "brown": (110, 75, 45),
    "cyan": (120, 205, 215),
    "gray": (128, 128, 128),
    "green": (30, 160, 40),
    "pink": (245, 170, 190),
    "purple": (140, 30, 170),
    "red": (220, 30, 30),
    "white": (250, 250, 250),
    "yellow": (240, 220, 40),
}
_RGB = np.array(list(PALETTE.values()), dtype=np.int32)
#: Nothing is impossible: a color that is not there would have no logarithm.
_FLOOR = 1e-3
#: How a prompt shows an option: `B. brown`.
_OPTION = re.compile(r"^([A-Z])\. (.+)$", re.MULTILINE)


def color_shares(frames: npt.NDArray[np.uint8]) -> dict[str, float]:
    """Color -> share of the pixels of `frames` (T, H, W, 3) that are nearest to it."""
    pixels = frames.reshape(-1, 3).astype(np.int32)
    distances = ((pixels[:, np.newaxis] - _RGB) ** 2).sum(axis=2)
    counts = np.bincount(distances.argmin(axis=1), minlength=len(PALETTE))
    return dict(zip(PALETTE, (counts / len(pixels)).tolist(), strict=True))


def probabilities(request: dsb.Request, shares: Mapping[str, float]) -> list[float]:
    """How likely each candidate of `request` is: letters of options, colors, or yes and no."""
    question = request.messages[-1].text
    if set(request.candidates) == {"yes", "no"}:
        asked = next((color for color in PALETTE if re.search(rf"\b{color}\b", question)), "")
        yes = shares.get(asked, 0.0)
        weights = [yes if each == "yes" else 1.0 - yes for each in request.candidates]
    else:
        options = dict(_OPTION.findall(question))
        weights = [shares.get(options.get(each, each), 0.0) for each in request.candidates]
    total = sum(weights) + _FLOOR * len(weights)
    return [(weight + _FLOOR) / total for weight in weights]


class ColorConversation:
    """One system watching one stream. It keeps nothing: whenever it is asked, it looks at its window."""

    def __init__(self, spec: dsb.StreamSpec) -> None:
        self.abilities = dsb.Abilities(
            question="fork", logprobs=True, needs_window=True, receipt="processed"
        )
        self.counters = dsb.Counters()
        self.closed = False
        self._spec = spec
        self._digest = dsb.InputDigest(spec)
        self._polling = dsb.Polling(self.ask_many)

    def observe(self, window: dsb.Window) -> dsb.Receipt:
        """Nothing to see yet: the ring keeps the window for whoever `needs_window`."""
        self._digest.observe(window)
        newest = window.ids[-1] if len(window) else None
        return dsb.Receipt(accepted_through=newest, processed_through=newest)

    def ask(self, request: dsb.Request) -> dsb.Reply:
        """Answer one question; see `ask_many`."""
        return self.ask_many([request])[0]

    def ask_many(self, requests: Sequence[dsb.Request]) -> list[dsb.Reply]:
        """Answer questions of one stream time from one look at the window."""
        begun = time.perf_counter_ns()
        shares: dict[str, float] = {}
        frames = until_ns = None
        # The blind control has no window, and before the first frame every window is empty.
        if self._spec.window is not None and requests and requests[0].view.visible:
            with requests[0].view.at(self._spec.window) as window:
                shares = color_shares(np.asarray(window))
                frames, until_ns = (window.ids[0], window.ids[-1]), window.pts_ns[-1]
                self.counters.frames_encoded += len(window)
        looked_ns = time.perf_counter_ns() - begun
        self.counters.model_calls += len(requests)
        self.counters.encode_ns += looked_ns
        return [self._reply(each, shares, frames, until_ns, looked_ns) for each in requests]

    def watch(self, request: dsb.Request) -> None:
        """Poll a standing instruction at every tick from now on."""
        self._polling.watch(request)

    def turn(self, tick_ns: int, view: dsb.StreamView, queries: Sequence[str]) -> list[dsb.Turn]:
        """Ask at a tick whether it is time to speak."""
        return self._polling.turn(tick_ns, view, queries)

    def close(self) -> None:
        """Nothing is held."""
        self.closed = True

    def _reply(
        self,
        request: dsb.Request,
        shares: Mapping[str, float],
        frames: tuple[int, int] | None,
        until_ns: int | None,
        looked_ns: int,
    ) -> dsb.Reply:
        logprobs = None
        text = max(shares, key=shares.__getitem__, default="")
        if request.candidates:
            likely = probabilities(request, shares)
            logprobs = tuple(math.log(each) for each in likely)
            text = request.candidates[likely.index(max(likely))]
        return dsb.Reply(
            text=text,
            candidate_logprobs=logprobs,
            token_logprobs=None,
            usage=dsb.Usage(),
            timing=dsb.Timing(service_ns=looked_ns, ttft_ns=looked_ns, encode_ns=looked_ns),
            finish="stop",
            frames=frames,
            visible_until_ns=until_ns,
            input_hash=self._digest.input_hash(request, frames),
        )


class ColorBackend:
    """Opens conversations, and says what was done in them."""

    def __init__(self) -> None:
        self._sessions: dict[str, list[ColorConversation]] = {}

    def frame_size(self, source_size: tuple[int, int]) -> tuple[int, int]:
        """A quarter of each side: shares of colors need few pixels."""
        width, height = source_size
        return max(1, width // 4), max(1, height // 4)

    def takes(self, size: tuple[int, int]) -> bool:
        """Any size will do."""
        return True

    def open(self, spec: dsb.StreamSpec) -> dsb.Conversation:
        """Start watching."""
        conversation = ColorConversation(spec)
        # Those that are closed are of an earlier try of the session.
        others = [each for each in self._sessions.get(spec.session, []) if not each.closed]
        self._sessions[spec.session] = [*others, conversation]
        return conversation

    def counters(self, session: str) -> dsb.Counters:
        """What was done for `session`; it is forgotten with this call when its conversations are closed."""
        conversations = self._sessions[session]
        if all(each.closed for each in conversations):
            del self._sessions[session]
        return sum((each.counters for each in conversations), dsb.Counters())


def open_backend(model: dsb.ModelConfig, cache: dsb.CacheConfig) -> dsb.Backend:
    """Nothing is loaded; a model with weights would read `model.path` here."""
    return ColorBackend()


def identify(model: dsb.ModelConfig, cache: dsb.CacheConfig) -> Mapping[str, str]:
    """What answers depend on: this package. A change that alters answers needs a new version of it."""
    return {"backend": model.backend, "version": metadata.version("dsb-color-shares")}


#: What the entry point in `pyproject.toml` names.
COLOR_SHARES = dsb.BackendKind(open_backend, identify)
