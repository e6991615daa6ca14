"""Examples for the OpenAPI document: one VM, its snapshots and jobs, as a reader of /docs sees them."""

from typing import Any

Json = dict[str, Any]

_VM = {"id": "8f4075f4-80a8-4128-ab9d-8378d1471d0a", "name": "web1"}
_SNAPSHOT = "01a206ea-c83f-73bd-b757-917a5895aa7f"
_JOB = "01a206ea-c839-7aa0-8c54-0f6b51f24fd9"
_VOLUME = "01a206eb-3d01-7e21-9a0e-6a6be4ce55b0"
_OWNER = {"account": "admin", "domain": "/"}
_FOLDER = "/var/lib/libvirt/images/stillframe"

HOST: Json = {
    "name": "hv1",
    "alive": True,
    "drained": None,
    "libvirt_version": "9.0.0",
    "qemu_version": "7.2.22",
    "cpus": 32,
    "memory_bytes": 137438953472,
    "vms": 12,
    "jobs_queued": 0,
    "jobs_running": 1,
    "registered_at": "2026-11-01T08:00:00Z",
    "last_seen_at": "2026-11-23T05:39:40Z",
}

VM: Json = {
    **_VM,
    "host": "hv1",
    "state": "running",
    "reason": "booted",
    "memory_bytes": 4294967296,
    "current": {"id": _SNAPSHOT, "name": "before-patch"},
    "volumes": [
        {
            "target": "vda",
            "path": f"{_FOLDER}/{_VM['id']}/vda-{_JOB}.qcow2",
            "format": "qcow2",
            "storage": "file",
            "virtual_bytes": 21474836480,
            "size_bytes": 798720,
            "why_not": None,
            "depth": 2,
            "home": f"{_FOLDER}/{_VM['id']}",
            "free_bytes": 107374182400,
            "total_bytes": 1099511627776,
            "storage_id": "01a206d0-0c1e-7a33-8f52-3d0c5b9b1c11/local:/dev/vg0/images",
        }
    ],
    "tags": ["production"],
    "traits": {
        "persistent": True,
        "managed_save": False,
        "nvram": None,
        "tpm": None,
        "agent": "connected",
        "host_devices": [],
        "outside_devices": [],
        "foreign_snapshots": [],
        "internal_snapshots": [],
        "activity": None,
        "block_jobs": {},
        "unreadable": None,
    },
    **_OWNER,
    "created_at": "2026-11-01T08:00:02Z",
    "seen_at": "2026-11-23T05:39:40Z",
}

SNAPSHOT: Json = {
    "id": _SNAPSHOT,
    "name": "before-patch",
    "display_name": "패치 전",
    "description": "before the patch of November",
    "state": "ready",
    "type": "hot",
    "origin": "stillframe",
    "foreign": None,
    "consistency": "filesystem",
    "current": True,
    "parent_id": None,
    "vm": _VM,
    "vm_state": "running",
    "host": "hv1",
    **_OWNER,
    "policy_id": None,
    "tags": ["patch"],
    "held": False,
    "hold": None,
    "created_at": "2026-11-23T05:39:39.071Z",
    "ready_at": "2026-11-23T05:39:39.544Z",
    "expires_at": None,
    "size_bytes": 2327642112,
    "memory_bytes": None,
    "pause_ms": 0,
    "freeze_ms": 165,
    "volumes": [
        {
            "target": "vda",
            "layer": "/var/lib/libvirt/images/web1.qcow2",
            "virtual_bytes": 21474836480,
            "size_bytes": 2327642112,
        }
    ],
    "actions": {
        "revert": {"allowed": True, "reason": None},
        "delete": {"allowed": True, "reason": None},
        "extract": {"allowed": True, "reason": None},
    },
    "error": None,
}

VOLUME_SNAPSHOT: Json = {
    "id": _VOLUME,
    "name": "web1-archive",
    "state": "ready",
    "snapshot_id": _SNAPSHOT,
    "policy_id": None,
    "vm": _VM,
    "host": "hv1",
    "target": "vda",
    "format": "qcow2",
    "virtual_bytes": 21474836480,
    "size_bytes": 2327642112,
    "sha256": "b452c1481509569edc4e6ca46e9f15a2420861425384d742a85f4196a004bc4e",
    "path": f"{_FOLDER}/volumes/{_VOLUME}.qcow2",
    **_OWNER,
    "created_at": "2026-11-23T05:40:08.961Z",
    "ready_at": "2026-11-23T05:41:10.120Z",
    "actions": {"delete": {"allowed": True, "reason": None}},
    "error": None,
}

JOB: Json = {
    "id": _JOB,
    "kind": "create_snapshot",
    "state": "running",
    "phase": "switch_to_overlays",
    "host": "hv1",
    "vm": _VM,
    "snapshot_id": _SNAPSHOT,
    "snapshot_name": "before-patch",
    "snapshots": [],
    "volume_snapshot_id": None,
    "progress": {"done": 536870912, "total": 1073741824, "unit": "bytes", "rate": 268435456, "eta_s": 2},
    "steps": [
        {
            "name": "check_vm",
            "state": "done",
            "started_at": "2026-11-23T05:39:39.102Z",
            "finished_at": "2026-11-23T05:39:39.118Z",
            "output": {},
        }
    ],
    "attempt": 1,
    "worker": "hv1/fa7640d3-fd61-408b-bcdc-ab6a44a34d29/30857/399635",
    "priority": 3,
    "requested_by": "admin",
    "idempotency_key": "nightly-2026-11-23",
    "request": {"vm": _VM["id"], "type": "hot", "name": "before-patch", "quiesce": "prefer"},
    "waiting": None,
    "created_at": "2026-11-23T05:39:39.065Z",
    "expires_at": "2026-11-24T05:39:39.065Z",
    "started_at": "2026-11-23T05:39:39.090Z",
    "finished_at": None,
    "cancel_requested_at": None,
    "no_return_at": None,
    "deaths": 0,
    "recovery": None,
    "trace": {
        "request_id": "5f0c2a9e-1b60-4c57-9f6c-0b1f3a4ad0c8",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    },
    "result": None,
    "error": None,
}

FORECAST: Json = {
    "kind": "create_snapshot",
    "vm": _VM,
    "host": "hv1",
    "seen_at": "2026-11-23T05:39:38.900Z",
    "allowed": False,
    "refusals": [
        {
            "when": "job",
            "code": "storage.not_enough_space",
            "detail": f"{_FOLDER} has 1.0 GiB free, and 4.2 GiB are needed for the VM's memory.",
            "remedy": "Free space there (delete old snapshots, move files away) and ask again.",
            "evidence": {"where": _FOLDER, "free_bytes": 1073741824, "needed_bytes": 4509715660},
        }
    ],
    "warnings": [
        {
            "code": "vm.volumes_left_out",
            "detail": 'Snapshots of VM "web1" leave out sda (it is a cdrom).',
            "remedy": "What is on them stays as it is at a revert. Keep it by other means if it matters.",
            "evidence": {"vm": "web1", "volumes": "sda (it is a cdrom)"},
        }
    ],
    "steps": [{"name": "check_vm", "words": "Looks at the VM and refuses what cannot be."}],
    "bytes": {
        "needed": 4509715660,
        "freed": 0,
        "moved": 0,
        "places": [{"where": _FOLDER, "free": 1073741824, "needed": 4509715660, "what": "the VM's memory"}],
    },
    "pause": {
        "kind": "pause",
        "expected_ms": [50, 2000],
        "why": "It stands still while the rest of its RAM is written and the volumes are cut.",
    },
    "consequences": [{"code": "kept", "detail": "It keeps the disks and the RAM of one instant: vda."}],
    "request": {"vm": _VM["id"], "type": "memory", "name": "before-patch", "quiesce": "prefer"},
}

EVENT: Json = {
    "id": 4711,
    "at": "2026-11-23T05:39:39.065Z",
    "type": "job.queued",
    "level": "info",
    "actor": "admin",
    "vm": _VM,
    "snapshot_id": _SNAPSHOT,
    "snapshot_name": "before-patch",
    "job_id": _JOB,
    "job_kind": "create_snapshot",
    "message": "",
    "data": {"kind": "create_snapshot", "vm": "web1"},
}

INSPECTION: Json = {
    "job": JOB
    | {
        "kind": "delete_snapshot",
        "state": "stuck",
        "phase": "pivot:vda:0",
        "progress": None,
        "no_return_at": "2026-11-23T05:39:39.120Z",
        "error": {
            "code": "image.failed",
            "detail": "qemu-img commit failed with exit code 1: Could not open: Permission denied",
            "remedy": "The evidence holds what the machine said and how it was found afterwards.",
            "evidence": {
                "rc": 1,
                "was": "running",
                "phase": "pivot:vda:0",
                "found": {"vm": {"state": "off"}},
            },
        },
    },
    "direction": "forward",
    "past_no_return": True,
    "vm": VM,
    "events": [EVENT],
    "ways": {
        "resume": {
            "allowed": True,
            "reason": None,
            "what_happens": "Host hv1 takes it up at once at pivot:vda:0 and goes on to the end.",
        },
        "rollback": {
            "allowed": False,
            "reason": "Job 01a206ea-c839-... has passed its point of no return.",
            "what_happens": "Host hv1 takes it up at once and walks back what was done.",
        },
        "mark_done": {
            "allowed": True,
            "reason": None,
            "what_happens": "Nothing more is done to the VM. Its host is looked at.",
        },
    },
}

COMMENT: Json = {
    "id": "01a206ec-0b52-7c1f-9d57-41f0a33f0a11",
    "snapshot_id": _SNAPSHOT,
    "author": "admin",
    "text": "되돌려도 됩니다",
    "created_at": "2026-11-23T05:42:00Z",
}

RESCAN: Json = {
    "id": "01a206ed-52aa-7b3f-8a21-91d84f7c1d02",
    "host": "hv1",
    "host_alive": True,
    "host_seen_at": "2026-11-23T05:50:00Z",
    "vm": None,
    "state": "done",
    "adopt": False,
    "repair": True,
    "findings": [
        {
            "kind": "layer.orphan",
            "vm": _VM["name"],
            "vm_id": _VM["id"],
            "subject": f"{_FOLDER}/{_VM['id']}/vda-{_JOB}.qcow2",
            "detail": "It is of a job that came to nothing, and nothing was ever written to it.",
            "remedy": "",
            "bytes": 200704,
            "repair": "itself",
            "repaired": True,
            "done": "removed",
            "drift": False,
        }
    ],
    "requested_by": "admin",
    "created_at": "2026-11-23T05:50:01Z",
    "started_at": "2026-11-23T05:50:01.412Z",
    "finished_at": "2026-11-23T05:50:01.690Z",
    "error": None,
}

WISH_RESCAN: Json = {"adopt": False, "repair": True}
WISH_SNAPSHOT: Json = {
    "type": "hot",
    "name": "before-patch",
    "display_name": "패치 전",
    "quiesce": "prefer",
    "tags": ["patch"],
}
WISH_DRAIN: Json = {"reason": "new memory"}
WISH_JOB: Json = {"start_within_s": 3600, "timeout_s": 600}
WISH_DELETIONS: Json = {"ids": [_SNAPSHOT, "01a206ea-8a7c-796c-bf5d-6d26e67775b5"]}
WISH_REVERT: Json = {"after": "keep"}
WISH_RECOVERY: Json = {"action": "resume", "note": "the disk was full; made room"}
WISH_VOLUME: Json = {"target": "vda", "name": "web1-archive"}
WISH_WORDS: Json = {"display_name": "패치 전", "tags": ["patch", "november"]}
WISH_HOLD: Json = {"reason": "for the audit", "until": "30d"}
WISH_TAGS: Json = {"add_tags": ["production"], "remove_tags": ["test"]}
WISH_COMMENT: Json = {"text": "되돌려도 됩니다"}


def shown(example: Json) -> Json:
    """The `json_schema_extra` of a model that this is an example of."""
    return {"examples": [example]}
