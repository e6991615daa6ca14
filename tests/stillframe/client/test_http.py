"""How the client's connections are made."""

import ssl

import pytest

from stillframe.client.http import options


@pytest.mark.parametrize("url", ["http://api", "HTTP://api:8460/"])
def test_plain_http_trusts_no_certificate(url: str) -> None:
    """None is read, and a server that came with one all the same would be refused."""
    verify = options(url, "key", 1)["verify"]

    assert verify.cert_store_stats()["x509_ca"] == 0
    assert (verify.verify_mode, verify.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize("url", ["https://api", "HTTPS://api", "api", "httpx://api"])
def test_all_else_is_as_httpx_has_it(url: str) -> None:
    """It verifies by the authorities that are known."""
    assert "verify" not in options(url, "key", 1)
