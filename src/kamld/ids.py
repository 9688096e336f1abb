"""Identifiers. Objects are named by their content (32 bytes, see kamld.store); the rest by these.

Prediction ids carry where they come from, so that a prediction can be traced even when nothing
about it was logged: 48 bits of milliseconds since 1970, 32 bits deployment event, 4 bits position
of the version in that event, 44 random bits. Written in Crockford's base 32, lower case.
"""

import secrets
from dataclasses import dataclass

from kamld import clock
from kamld.errors import Invalid

SHORT = 12  # hex digits people see; 48 bits tell 16 million objects apart
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUES = {c: i for i, c in enumerate(_ALPHABET)} | {"o": 0, "i": 1, "l": 1}
PREDICTION_LENGTH = 26


def new_id() -> str:
    """32 hex digits: 48 bits of milliseconds, then 80 random ones, so ids sort by time."""
    return f"{clock.now_ms():012x}{secrets.token_hex(10)}"


def new_event_key() -> str:
    """8 hex digits for a deployment event. Unique only once a hub has accepted it."""
    return secrets.token_hex(4)


def short(identifier: str) -> str:
    return identifier[:SHORT]


@dataclass(frozen=True, slots=True)
class PredictionId:
    time_ms: int
    event: str  # 8 hex digits
    slot: int  # 0..15: which of the event's versions answered
    random: int  # 44 bits

    def __str__(self) -> str:
        value = (self.time_ms << 80) | (int(self.event, 16) << 48) | (self.slot << 44) | self.random
        digits = []
        for _ in range(PREDICTION_LENGTH):
            value, digit = value >> 5, value & 31
            digits.append(_ALPHABET[digit])
        return "".join(reversed(digits))


def new_prediction_id(event: str, slot: int) -> PredictionId:
    return PredictionId(clock.now_ms(), event, slot, secrets.randbits(44))


def is_prediction_id(text: str) -> bool:
    return len(text) == PREDICTION_LENGTH and all(c in _VALUES for c in text.lower())


def parse_prediction_id(text: str) -> PredictionId:
    """Read a prediction id; upper case and the look-alikes o, i, l are understood.

    Raises Invalid.
    """
    if not is_prediction_id(text):
        raise Invalid(
            "bad_prediction_id",
            f'"{text}" is not a prediction id.',
            f"It has {PREDICTION_LENGTH} letters and digits, as in the kamld-prediction-id header.",
        )
    value = 0
    for character in text.lower():
        value = (value << 5) | _VALUES[character]
    if value >> 128:
        raise Invalid("bad_prediction_id", f'"{text}" is too large for a prediction id.')
    return PredictionId(
        time_ms=value >> 80,
        event=f"{(value >> 48) & 0xFFFFFFFF:08x}",
        slot=(value >> 44) & 15,
        random=value & ((1 << 44) - 1),
    )
