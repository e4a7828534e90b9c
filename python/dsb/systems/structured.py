"""Structured answers: `{"answer", "confidence", "need_s2"}`, parsed strictly."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError

_FENCE = re.compile(r"\A\s*```(?:json)?\s*\n(.*)\n\s*```\s*\Z", re.DOTALL)


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    answer: str | int | float | bool
    confidence: float = Field(ge=0, le=1)
    need_s2: bool = False


#: What a structured answer keeps to where the model can be held to it.
SCHEMA = json.dumps(_Shape.model_json_schema())


@dataclass(frozen=True)
class StructuredAnswer:
    """A well-formed structured answer."""

    text: str
    confidence: float
    need_s2: bool


def parse_structured(text: str) -> StructuredAnswer | str:
    """The answer, or in a few words what is wrong with it.

    One JSON object, alone or in one code fence; nothing is guessed from text around it.
    """
    fenced = _FENCE.match(text)
    try:
        shape = _Shape.model_validate(json.loads(fenced.group(1) if fenced else text))
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg} at character {error.pos}"
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        return f"{field or 'value'}: {first['msg']}"
    return StructuredAnswer(_as_text(shape.answer), shape.confidence, shape.need_s2)


def _as_text(answer: str | float | bool) -> str:
    if isinstance(answer, bool):
        return "yes" if answer else "no"
    return str(answer).strip()
