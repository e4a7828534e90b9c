"""What identifies a request: exactly what was asked, and of which frames."""

from __future__ import annotations

import hashlib
import json

from dsb.models.backend import Request


def input_hash(request: Request, frames: tuple[int, int] | None) -> str:
    """BLAKE2b (128 bit, hex) over messages, candidates, how to generate and the ids of the first and last frame.

    The key and the time of the request do not count: the same question about the same frames has the same hash,
    in every process.
    """
    generation = request.generation
    content = {
        "messages": [[each.role, each.text] for each in request.messages],
        "candidates": request.candidates,
        # Hashes in logs that exist were made under this name.
        "decoding": [
            generation.max_new_tokens,
            generation.temperature,
            generation.seed,
            generation.stop,
            *(() if generation.schema is None else (generation.schema,)),
        ],
        "frames": frames,
    }
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
