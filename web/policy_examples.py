"""Examples of policies for the OpenAPI document."""

from typing import Any

Json = dict[str, Any]

_VM = {"id": "8f4075f4-80a8-4128-ab9d-8378d1471d0a", "name": "web1"}
_SCHEDULE: Json = {
    "cron": "30 2 * * *",
    "every": None,
    "anchor": None,
    "timezone": "Asia/Seoul",
    "start_at": None,
    "end_at": None,
    "jitter_s": 1800,
    "misfire": "run_once",
    "max_catch_up": 10,
    "grace_s": 900,
    "overlap": "skip",
}

WISH_POLICY: Json = {
    "name": "nightly",
    "selector": {"tags": ["production"]},
    "schedules": [{"cron": "30 2 * * *", "timezone": "Asia/Seoul", "jitter_s": 1800}],
    "retention": {"last": 3, "daily": 7, "weekly": 4},
    "mode": "hot",
    "blackouts": [{"begin": "09:00", "end": "18:00", "days": ["mon", "tue", "wed", "thu", "fri"]}],
}
WISH_PAUSE: Json = {"until": "2026-12-01T00:00:00Z"}
WISH_RESUME: Json = {"vm": "web1"}

POLICY: Json = {
    "id": "01a206ea-aaaa-7aa0-8c54-0f6b51f24fd9",
    "name": "nightly",
    "enabled": True,
    "paused_until": None,
    "suspended": None,
    "set_aside": 0,
    "next_fire_at": "2026-11-23T17:30:00Z",
    "selector": {
        "ids": [],
        "names": [],
        "tags": ["production"],
        "account": None,
        "domain": None,
        "host": None,
    },
    "schedules": [_SCHEDULE],
    "retention": {
        **{"last": 3, "hourly": None, "daily": 7, "weekly": 4},
        **{"monthly": None, "quarterly": None, "yearly": None},
        **{"within": None, "max_age": None, "max_count": None, "min_keep": 1},
    },
    "mode": "hot",
    "quiesce": "prefer",
    "priority": "normal",
    "guards": {
        **{"max_depth": 16, "min_free_bytes": 1073741824, "min_free_percent": 5.0},
        **{"skip_while_merging": True, "max_per_host": 2, "max_per_storage": 2},
    },
    "blackouts": [{"begin": "09:00", "end": "18:00", "days": ["mon", "tue", "wed", "thu", "fri"]}],
    "extract": None,
    "tags": [],
    "max_failures": 4,
    "start_within_s": 3600,
    "account": "admin",
    "domain": "/",
    "created_by": "admin",
    "created_at": "2026-11-01T08:00:00Z",
    "updated_at": "2026-11-01T08:00:00Z",
}

WARNINGS = [
    "it fires 5m after the last time, and the snapshots of web1 (7m) take longer: "
    "firings that come before the one before them is over are skipped"
]
MADE_POLICY: Json = POLICY | {"warnings": WARNINGS}

DELETED_POLICY: Json = {"skipped": 3, "asked_for": 1}

RUN: Json = {
    "id": "01a206ea-bbbb-7aa0-8c54-0f6b51f24fd9",
    "nominal_at": "2026-11-22T17:30:00Z",
    "until_at": None,
    "moments": 1,
    "due_at": "2026-11-22T17:41:12Z",
    "vm": _VM,
    "state": "skipped",
    "reason": "a deletion of this VM is not over (job 01a206ea-c839-7aa0-8c54-0f6b51f24fd9)",
    "asked_by": None,
    "job_id": None,
    "decided_at": "2026-11-22T17:41:13Z",
}

POLICY_VM: Json = {
    "vm": _VM,
    "failures": 4,
    "last_good_at": "2026-11-18T17:30:00Z",
    "last_bad_at": "2026-11-22T17:30:00Z",
    "set_aside": {
        "at": "2026-11-22T17:42:03Z",
        "reason": "4 snapshots failed one after the other, the last: the guest agent does not answer",
    },
    "refused": None,
}

PREVIEW: Json = {
    "warnings": WARNINGS,
    "runs": [
        {
            "at": "2026-11-23T17:30:00Z",
            "local": "2026-11-24T02:30:00+09:00",
            "schedule": _SCHEDULE,
            "turns": [{"vm": _VM, "at": "2026-11-23T17:41:12Z", "set_aside": None}],
        }
    ],
    "vms": [
        {
            "vm": _VM,
            "snapshots": [
                {
                    "id": "01a206ea-c83f-73bd-b757-917a5895aa7f",
                    "name": "nightly-20261122-173000",
                    "created_at": "2026-11-22T17:41:14Z",
                    "size_bytes": 2306867,
                    "keep": True,
                    "reasons": ["the last good one", "last 1 of 3", "daily 2026-11-23"],
                }
            ],
        }
    ],
    "volumes": [
        {
            "vm": _VM,
            "target": "vda",
            "images": [
                {
                    "id": "01a206eb-3d01-7e21-9a0e-6a6be4ce55b0",
                    "name": "nightly-vda-20261122-173000-917a5895aa",
                    "created_at": "2026-11-22T17:41:14Z",
                    "size_bytes": 2327642112,
                    "keep": True,
                    "reasons": ["the last good one", "last 1 of 1"],
                }
            ],
        }
    ],
}
