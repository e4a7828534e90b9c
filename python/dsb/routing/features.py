"""From a question (and S1's answer) to what a router may see."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

from dsb.routing.router import RouteFeatures


def features_hash(features: RouteFeatures) -> str:
    """16 hex digits over the canonical JSON of the features, equal on every machine."""
    text = json.dumps(asdict(features), sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
