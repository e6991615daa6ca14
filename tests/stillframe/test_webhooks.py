"""What webhooks send, and to which addresses."""

import base64
import hashlib
import hmac

import pytest

from stillframe.addresses import is_allowed, is_public, networks
from stillframe.errors import EventTypeUnknown, UrlInvalid
from stillframe.webhooks import (
    RETRIES,
    check_types,
    check_url,
    cloud_event,
    headers,
    rest_s,
    secret_of,
    signature,
    wait_s,
)

EVENT = {
    "id": 7,
    "at": "2026-11-23T05:39:39.065Z",
    "type": "job.failed",
    "level": "error",
    "actor": "admin",
    "vm": {"id": "8f40", "name": "web1"},
    "snapshot_id": None,
    "snapshot_name": None,
    "job_id": "01a2",
    "job_kind": "create_snapshot",
    "message": "",
    "data": {
        "trace": {
            "request_id": "r1",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        }
    },
}


@pytest.mark.parametrize(
    "address",
    [
        *("10.1.2.3", "172.16.0.1", "192.168.1.1", "127.0.0.1", "127.9.9.9", "0.0.0.0", "255.255.255.255"),
        *("169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.0.192", "224.0.0.1", "240.0.0.1"),
        *("168.63.129.16", "198.18.0.1", "203.0.113.9"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "fc00::1", "ff02::1", "2001:db8::1"),
        *(
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
        ),
        *("2001:0:53aa:64c:0:0:80ff:fffe", "::127.0.0.1"),
    ],
)
def test_an_address_inside_is_not_public(address: str) -> None:
    """Neither as it is nor wrapped into IPv6."""
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:2800:220:1::1", "::ffff:8.8.8.8"])
def test_an_address_of_the_world_is_public(address: str) -> None:
    """Of both kinds."""
    assert is_public(address)


def test_a_setting_allows_networks() -> None:
    """Those it names and no others; an address wrapped into IPv6 is the one it wraps."""
    allowed = networks("10.1.0.0/16, 192.168.7.9,fd00::/8")
    assert [is_allowed(one, allowed) for one in ("10.1.2.3", "10.2.0.1", "192.168.7.9", "fd00::5")] == [
        True,
        False,
        True,
        True,
    ]
    assert is_allowed("::ffff:10.1.2.3", allowed)
    with pytest.raises(ValueError, match=r"10\.1\.2\.3"):
        networks("10.1.2.3/8")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://example.com/", "https"),
        ("example.com", "https"),
        ("ftp://example.com/", "neither https:// nor"),
        ("http://169.254.169.254/x", "address refused: 169.254.169.254 is not public"),
        ("https://[::ffff:10.1.2.3]/x", "address refused: ::ffff:10.1.2.3 is not public"),
        ("http://1.1.1.1/", "address refused: 1.1.1.1 is not encrypted; use https"),
        ("http://example.com/", "address refused: example.com is not encrypted; use https"),
        ("https://", "no host"),
        ("https://a:b@example.com/", "password"),
        ("https://example.com/#x", "fragment"),
        ("https://example.com:99999/", "out of range"),
        ("https://exa mple.com/", "characters"),
        ("https://example.com/\r\nX: y", "characters"),
        ("https://bücher.example/", "punycode"),
        ("https://[::1/", "Invalid IPv6"),
        ("https://example.com/" + "a" * 2000, "2000"),
    ],
)
def test_what_is_no_url_is_refused_with_the_reason(url: str, why: str) -> None:
    """At once, in a sentence."""
    with pytest.raises(UrlInvalid, match=why):
        check_url(url)


def test_a_network_that_is_allowed_may_be_named() -> None:
    """By its addresses, also without encryption; a name may lead there, which is seen when it is used."""
    allowed = networks("10.0.0.0/8")
    for url in ("http://10.1.2.3/x", "https://10.1.2.3/x", "http://inside.example/", "https://1.1.1.1/"):
        assert check_url(url, allowed) == url
    with pytest.raises(UrlInvalid, match="not public"):
        check_url("https://192.168.0.1/", allowed)


def test_types_are_those_that_events_have() -> None:
    """Whole or as a beginning with its dot."""
    assert check_types(["job.", "snapshot.ready", "job."]) == ["job.", "snapshot.ready"]
    for wrong in ("job", "job.exploded", "x.", "*", "."):
        with pytest.raises(EventTypeUnknown):
            check_types([wrong])


def test_an_event_becomes_a_cloud_event() -> None:
    """With the attributes of CloudEvents 1.0, what it is about, its place as text that sorts, and the trace of its request."""
    made = cloud_event(EVENT, 12, "https://snap.example.com")
    assert made == {
        "specversion": "1.0",
        "id": "7",
        "source": "https://snap.example.com",
        "type": "io.stillframe.job.failed",
        "time": "2026-11-23T05:39:39.065Z",
        "datacontenttype": "application/json",
        "subject": "jobs/01a2",
        "sequence": "00000000000000000012",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "data": EVENT,
    }
    about_vm = cloud_event(EVENT | {"type": "vm.gone", "data": {}}, 1, "x")
    assert about_vm["subject"] == "vms/8f40"
    assert "traceparent" not in about_vm
    assert "subject" not in cloud_event(EVENT | {"type": "host.drained", "vm": None}, 1, "x")


def test_a_signature_is_that_of_standard_webhooks() -> None:
    """HMAC-SHA256 of id, timestamp and body with the decoded secret, base64; two secrets sign side by side."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    expected = (
        "v1," + base64.b64encode(hmac.new(key, b'm1.1700000000.{"a":1}', hashlib.sha256).digest()).decode()
    )
    assert signature(secret, "m1", 1700000000, b'{"a":1}') == expected

    old, new = secret_of("k" * 32, "w1", 1), secret_of("k" * 32, "w1", 2)
    assert old != new
    assert len(base64.b64decode(new.removeprefix("whsec_"))) == 32
    both = headers([new, old], "m1", 1, b"x")["webhook-signature"].split(" ")
    assert both == [signature(new, "m1", 1, b"x"), signature(old, "m1", 1, b"x")]


def test_tries_take_a_day_and_no_endpoint_rests_longer_than_five_minutes() -> None:
    """Each wait is longer than the one before, with chance in it; then a delivery is dead."""
    waits = [wait_s(failed, 0.5) for failed in range(1, len(RETRIES) + 1)]
    assert all(wait is not None for wait in waits)
    assert 23 * 3600 < sum(wait or 0 for wait in waits) < 26 * 3600
    assert wait_s(len(RETRIES) + 1, 0.5) is None
    assert (wait_s(1, 0) or 0) < (wait_s(1, 1) or 0)
    assert [rest_s(1), rest_s(3), rest_s(99)] == [2, 8, 300]
