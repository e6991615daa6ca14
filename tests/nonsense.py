"""What may lie in a queue and is no message of ours."""

import json
from uuid import uuid4

from stillframe.names import wire_name


def letter(task: str = wire_name("create_snapshot"), content: object = None, **changes: object) -> bytes:
    """A message as it lies in Redis, with something changed."""
    headers = {
        "lang": "py",
        "task": task,
        "id": str(uuid4()),
        "root_id": None,
        "argsrepr": "",
        "kwargsrepr": "",
    }
    whole = {
        "body": json.dumps([[], {}, {}] if content is None else content),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": {
            "correlation_id": headers["id"],
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "host"},
            "priority": 0,
            "delivery_tag": str(uuid4()),
        },
    }
    return json.dumps(whole | changes).encode()


NONSENSE = {
    "an unknown task": letter("somebody.elses_task"),
    "a job that is not": letter(content=[[], {"job_id": str(uuid4())}, {}]),
    "no id": letter(content=[[], {"job_id": "../../etc"}, {}]),
    "a list for an id": letter(content=[[], {"job_id": ["a"]}, {}]),
    "no arguments": letter(),
    "surplus arguments": letter(content=[["surplus", "words"], {}, {}]),
    "a body of another shape": letter(content="no triple"),
    "a body that is no JSON": letter(body="{no"),
    "a body of pickle": letter(**{"content-type": "application/x-python-serialize"}),
    "no headers": letter(headers={}),
    "no properties": letter(properties={}),
    "an empty object": b"{}",
    "a list": b"[1, 2]",
    "words": b"no json at all",
    "bytes": b"\x80\x04\xff\x00",
    "nothing": b"",
}
