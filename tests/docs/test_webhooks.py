"""The check of a signature that the docs show is right."""

import re
import time
from pathlib import Path
from typing import Any

from stillframe.webhooks import headers, secret_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "webhooks.md"


def test_the_receivers_check_takes_ours_and_nothing_else() -> None:
    """The code of docs/webhooks.md takes what is signed with its secret now, and no other secret, body or time."""
    found: dict[str, Any] = {}
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    exec(code, found)  # it is our own page
    check, now = found["check"], int(time.time())
    old, new = secret_of("k" * 32, "w", 1), secret_of("k" * 32, "w", 2)

    def sent(secrets: list[str], at: int = now) -> dict[str, str]:
        return headers(secrets, "7", at, b"body")

    assert check(new, sent([new]), b"body")
    assert check(old, sent([new, old]), b"body")
    assert not check(old, sent([new]), b"body")
    assert not check(new, sent([new]), b"bodY")
    assert not check(new, sent([new], now - 3600), b"body")
    assert not check(new, sent([new]) | {"webhook-id": "8"}, b"body")
