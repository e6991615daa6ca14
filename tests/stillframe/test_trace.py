"""Which request something goes back to."""

import logging
import threading

import pytest

from stillframe.trace import Trace, current, in_logs, traced, tracing

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_what_is_well_formed_is_taken() -> None:
    """The caller's id and its place in a trace."""
    assert Trace.of_headers("deploy-42/a", PARENT) == Trace("deploy-42/a", PARENT)
    assert Trace.from_json(Trace("r", PARENT).to_json()) == Trace("r", PARENT)
    assert Trace.from_json(Trace("r").to_json()) == Trace("r")
    assert Trace.from_json(None) is None


@pytest.mark.parametrize("wrong", [None, "", "a b", "a\nb", "x" * 129, "é", '"', "a\x00"])
def test_another_id_is_made_for_one_that_is_not(wrong: str | None) -> None:
    """Nothing that could break a line of a log gets into one."""
    made = Trace.of_headers(wrong, None).request_id
    assert len(made) == 36
    assert made != Trace.of_headers(wrong, None).request_id


@pytest.mark.parametrize(
    "wrong",
    [
        *("", "x", PARENT.upper(), PARENT[:-1], PARENT + "x", "ff" + PARENT[2:]),
        *(
            PARENT.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
            PARENT.replace("b7ad6b7169203331", "0" * 16),
        ),
    ],
)
def test_a_traceparent_that_is_none_is_left_out(wrong: str) -> None:
    """As the W3C asks."""
    assert Trace.of_headers("r", wrong).traceparent is None


def test_what_runs_inside_carries_it() -> None:
    """Events and log records; outside, and in other threads, nothing."""
    assert (current(), traced({"a": 1})) == (None, {"a": 1})
    elsewhere: list[object] = []
    with tracing(Trace("r1", PARENT)):
        assert traced({"a": 1}) == {"a": 1, "trace": {"request_id": "r1", "traceparent": PARENT}}
        thread = threading.Thread(target=lambda: elsewhere.append(current()))
        thread.start()
        thread.join()
    assert elsewhere == [None]
    assert current() is None


def test_log_records_name_it() -> None:
    """Formats may use `trace`."""
    before = logging.getLogRecordFactory()
    try:
        in_logs()
        show = logging.Formatter("%(levelname)s%(trace)s %(message)s").format
        make = logging.getLogger("x").makeRecord
        with tracing(Trace("r1")):
            assert show(make("x", 20, "f", 1, "hello", (), None)) == "INFO [request r1] hello"
        assert show(make("x", 20, "f", 1, "hello", (), None)) == "INFO hello"
    finally:
        logging.setLogRecordFactory(before)
