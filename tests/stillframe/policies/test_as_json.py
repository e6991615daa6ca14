"""A policy as JSON and back."""

import json
from typing import Any

import pytest

from stillframe.errors import Invalid
from stillframe.policies.as_json import policy_from_json, policy_to_json

FULL: dict[str, Any] = {
    "name": "nightly",
    "selector": {
        "names": ["web-*"],
        "tags": ["prod"],
        "domain": "/shop",
        "host": "hv1",
        "ids": [],
        "account": None,
    },
    "schedules": [
        {
            "cron": "30 2 * * *",
            "timezone": "Asia/Seoul",
            "jitter_s": 1800,
            "misfire": "run_all",
            "max_catch_up": 3,
        },
        {"every": "6h", "anchor": "2026-01-01T00:00:00Z", "overlap": "queue", "grace_s": 60},
    ],
    "retention": {"last": 3, "daily": 7, "within": "2d", "max_age": "30d", "max_count": 12},
    "mode": "hot",
    "quiesce": "require",
    "priority": "low",
    "guards": {"max_per_host": 4, "min_free_percent": 7.5},
    "blackouts": [{"begin": "09:00", "end": "18:00", "days": ["mon", "fri"]}],
    "extract": {"targets": ["vda"], "retention": {"last": 2}},
    "tags": ["policy"],
    "enabled": False,
    "paused_until": "2030-01-01T00:00:00Z",
    "max_failures": 9,
    "start_within_s": 600,
}
LEAST = {"name": "n", "selector": {"names": ["*"]}, "schedules": [{"cron": "@daily"}], "retention": {}}


@pytest.mark.parametrize("values", [FULL, LEAST])
def test_there_and_back_is_the_same(values: dict[str, Any]) -> None:
    """What is written is read as the same policy, and what was asked for stands in it."""
    policy = policy_from_json(values)
    written = json.loads(json.dumps(policy_to_json(policy)))
    assert policy_from_json(written) == policy
    for name, value in values.items():
        if not isinstance(value, dict | list):
            assert written[name] == value
    assert written["schedules"][0]["cron"] == values["schedules"][0]["cron"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"colour": "red"}, "policy has a field 'colour' that nobody knows"),
        ({"retention": {"dayly": 7}}, "policy.retention has a field 'dayly'"),
        ({"schedules": "daily"}, "policy.schedules has to be a list"),
        ({"schedules": [{"cron": 5}]}, r"policy.schedules\[0\].cron is 5"),
        ({"schedules": [{"every": "5 parsecs"}]}, "write a length of time"),
        ({"retention": {"last": "7"}}, "whole number"),
        ({"retention": {"last": True}}, "whole number"),
        ({"mode": "warm"}, "may be auto, hot, cold, memory"),
        ({"paused_until": "2030-01-01T00:00:00"}, "no time zone"),
        ({"paused_until": "soon"}, "ISO 8601"),
        ({"selector": ["web1"]}, "policy.selector has to be an object"),
        ({"guards": {"skip_while_merging": 1}}, "true or false"),
        ({"extract": {"retention": {}}}, "policy.extract has no targets"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_name(change: dict[str, Any], word: str) -> None:
    """The field that is wrong is named, with what it may be."""
    with pytest.raises(Invalid, match=word):
        policy_from_json(LEAST | change)


def test_what_is_missing_is_named() -> None:
    """A policy without a selector is not a policy for everything."""
    with pytest.raises(Invalid, match="policy has no selector"):
        policy_from_json({name: value for name, value in LEAST.items() if name != "selector"})
