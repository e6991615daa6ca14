"""Many clients that ask at once, each several times with the same key, and remember what they were answered."""

import random
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

Json = dict[str, Any]
NAMES = [f"vm{number}" for number in range(20)]
#: What an answer says about the moment and not about the request: it is asked again with the same key.
AGAIN = frozenset({429, 502, 503, 504})
PATIENCE_S = 120.0


@dataclass
class Request:
    """One thing wanted, with its key. `began` is when it was first sent, `sure` when its job was first known."""

    path: str
    body: Json | None
    key: str = field(default_factory=lambda: str(uuid4()))
    began: float = float("inf")
    sure: float = float("inf")
    jobs: set[str] = field(default_factory=set)
    refusals: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)


class Crowd:
    """`clients` threads that send `requests` things in all, some of them more than once and some at the same moment."""

    def __init__(self, url: str, key: str, clients: int, requests: int, dice: int) -> None:
        self.url, self.key = url, key
        self.clients, self.count = clients, requests
        self.requests: list[Request] = []
        self._dice = random.Random(dice)
        self._snapshots: dict[str, list[str]] = defaultdict(list)
        self._lock = threading.Lock()

    def storm(self) -> None:
        """Returns when each has had all its answers."""
        threads = [threading.Thread(target=self._client, args=(number,)) for number in range(self.clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _client(self, number: int) -> None:
        share = self.count // self.clients + (number < self.count % self.clients)
        with httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=30
        ) as http:
            for _ in range(share):
                with self._lock:
                    request, times = self._next()
                for _ in range(times):
                    self._send(http, request)

    def _next(self) -> tuple[Request, int]:
        dice = self._dice.random()
        if self.requests and dice < 0.1:
            return self._dice.choice(
                self.requests[-self.clients :]
            ), 1  # perhaps another sends it at this moment
        vm = self._dice.choice(NAMES)
        if self._snapshots[vm] and dice < 0.5:
            gone = self._snapshots[vm].pop(self._dice.randrange(len(self._snapshots[vm])))
            request = Request(f"/v1/snapshots/{gone}", None)
        else:
            request = Request(f"/v1/vms/{vm}/snapshots", {"type": "hot", "quiesce": "never"})
        self.requests.append(request)
        return request, self._dice.choice((1, 1, 1, 2, 3))

    def _send(self, http: httpx.Client, request: Request) -> None:
        """Until there is an answer that is about the request."""
        end = time.monotonic() + PATIENCE_S
        while True:
            request.began = min(request.began, time.time())
            try:
                answer = self._ask(http, request)
            except httpx.HTTPError:
                answer = None
            if answer is not None and answer.status_code not in AGAIN and not _in_flight(answer):
                return self._note(request, answer)
            assert time.monotonic() < end, f"no answer to {request}"
            time.sleep(0.05)

    def _ask(self, http: httpx.Client, request: Request) -> httpx.Response:
        headers = {"Idempotency-Key": request.key}
        if request.body is None:
            return http.delete(request.path, headers=headers)
        return http.post(request.path, json=request.body, headers=headers)

    def _note(self, request: Request, answer: httpx.Response) -> None:
        with self._lock:
            if answer.status_code == 202:
                job = answer.json()
                request.sure = min(request.sure, time.time())
                if request.body is not None and not request.jobs:
                    self._snapshots[job["vm"]["name"]].append(job["snapshot_id"])
                request.jobs.add(job["id"])
            elif 400 <= answer.status_code < 500:
                request.refusals.append(answer.json()["code"])
            else:
                request.strange.append(f"{answer.status_code} {answer.text[:200]}")


def _in_flight(answer: httpx.Response) -> bool:
    return answer.status_code == 409 and answer.json()["code"].startswith("idempotency.")
