"""What identifies a request: exactly what was asked, and of which frames."""

from __future__ import annotations

import hashlib
import json

from dsb.models.backend import Request


def input_hash(request: Request, frames: tuple[int, int] | None) -> str:
    """BLAKE2b (128 bit, hex) over messages, candidates, decoding and the ids of the first and last frame.

    The key and the time of the request do not count: the same question about the same frames has the same hash,
    in every process.
    """
    decoding = request.decoding
    content = {
        "messages": [[each.role, each.text] for each in request.messages],
        "candidates": request.candidates,
        "decoding": [
            decoding.max_new_tokens,
            decoding.temperature,
            decoding.seed,
            decoding.stop,
            *(() if decoding.schema is None else (decoding.schema,)),
        ],
        "frames": frames,
    }
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
