"""A hundred points for the contract tests: made up, always the same, with every shape of payload that recq stores."""

from __future__ import annotations

import random
import uuid
from typing import Any

DIM = 8
SIZE = 100
WORDS = ["blue", "Running", "shoe", "tote", "BAG", "großes", "naïve", "don't", "x-large", "42", "red", "Sofa"]
CATEGORIES = ["Footwear", "Sofa & Bed", "bag", "größe"]
INDEXES: dict[str, Any] = {
    "category": "keyword",
    "labels": "keyword",
    "price": "float",
    "stock": "integer",
    "sold": "bool",
    "made": "datetime",
    "_text.title": {"type": "text", "tokenizer": "word", "lowercase": True},
    "note": "text",
    "file.path": "keyword",
    '"Price (EUR)"': "float",
}


def point_id(number: int) -> int | str:
    """Two kinds of ids: integers and UUIDs."""
    return number if number % 3 == 0 else str(uuid.UUID(int=number * 0x1234567890ABCDEF))


def points() -> list[dict[str, Any]]:
    """As REST takes them; every tenth is a failed item: no vector, and an `error`."""
    dice = random.Random(2024)
    return [_point(number, dice) for number in range(SIZE)]


def _point(number: int, dice: random.Random) -> dict[str, Any]:
    title = " ".join(dice.sample(WORDS, 4))
    payload: dict[str, Any] = {
        "category": dice.choice(CATEGORIES),
        "labels": dice.sample(["Action", "Drama", "Noir"], dice.randrange(4)),
        "title": title,
        "_text": {"title": title},
        "note": dice.choice(WORDS),
        "file": {"path": f"{dice.choice('ab')}/{number:03d}.jpg", "size": number * 1000, "name": f"{number:03d}.jpg"},
        "Price (EUR)": number / 4,
        "parts": [{"name": dice.choice("xyz"), "weight": dice.randrange(5)} for _ in range(dice.randrange(3))],
        "plain": dice.choice(["one", "Two", "THREE"]),
        "made": f"20{number % 30:02d}-0{number % 9 + 1}-1{number // 30}T10:00:00Z",  # all different
    }
    if number % 4:
        payload["price"] = dice.choice([5, 7.5, 12.25, 50, 99.99])
    if number % 5:
        payload["stock"] = dice.choice([0, 1, 2, 10, None])
    if number % 2:
        payload["sold"] = number % 3 == 0
    if number % 10 == 9:
        payload["error"] = {"reason": "truncated", "attempts": number}
        return {"id": point_id(number), "vector": {}, "payload": payload}
    return {"id": point_id(number), "vector": {"image": [dice.gauss(0, 1) for _ in range(DIM)]}, "payload": payload}
