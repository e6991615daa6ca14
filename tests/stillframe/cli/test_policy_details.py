"""What `policy show` says beyond the usual."""

from stillframe.cli import policy_details as details
from stillframe.policies.as_json import policy_from_json, policy_to_json


def test_what_is_as_usual_is_not_said() -> None:
    """A policy that says nothing of it has nothing of it shown: the usual values are those of the service."""
    one = shown(schedules=[{"cron": "@daily"}, {"every": "6h"}])
    assert details.jitter(one["schedules"]) == ""
    assert details.misfire(one["schedules"]) == ""
    assert details.guards(one["guards"]) == ""
    assert details.blackouts(one["blackouts"]) == ""


def test_what_differs_is_said() -> None:
    """Jitter, what becomes of missed moments, guards, and the days of a blackout; by schedule if they differ."""
    window = {"begin": "09:00", "end": "18:00", "days": ["mon", "tue"]}
    late = {"cron": "@daily", "jitter_s": 1800, "misfire": "run_all", "grace_s": 60, "overlap": "queue"}
    one = shown(
        schedules=[late, {"every": "6h", "jitter_s": 0.5}],
        guards={"max_depth": 8, "skip_while_merging": False},
        blackouts=[window],
    )
    assert details.jitter(one["schedules"]) == "@daily: over 30m; every 6h: over 0.5s"
    assert details.misfire(one["schedules"][:1]) == "misfire run_all, grace 1m, overlap queue"
    assert details.guards(one["guards"]) == "max_depth 8, skip_while_merging no"
    assert details.blackouts(one["blackouts"]) == "09:00 to 18:00 on mon, tue"


def shown(**values: object) -> details.Json:
    wish = {"name": "nightly", "selector": {"names": ["*"]}, "retention": {"last": 3}} | values
    return policy_to_json(policy_from_json(wish))
