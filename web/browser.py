"""What a request tells of the browser that it came from: its address, its login's cookie, and the page that asked.

A cookie is sent by a browser whatever page asks. So a change that comes with one is done only if the browser says that
a page of this very origin asked for it; and the cookie is sent to this very host only, and to no script.
"""

from ipaddress import IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from fastapi import Request, Response

from models.users.logins import Browser
from stillframe.errors import CrossSite

#: The prefix has the browser take it over https only, from this host only, for all paths.
COOKIE = "__Host-stillframe"
#: Over plain http, where no browser takes the prefix.
PLAIN_COOKIE = "stillframe"
_LOOKING = frozenset({"GET", "HEAD", "OPTIONS"})
#: Of an IPv6 address so many bits are the network: whoever has one of its addresses has all of them.
_NETWORK = 64


def browser_of(request: Request) -> Browser:
    """Who asks, as far as a login wants to know."""
    address = request.client.host if request.client else ""
    return Browser(counted(address), request.headers.get("user-agent", ""), token_of(request))


def counted(address: str) -> str:
    """What an address is counted under: itself, or the network that an IPv6 address is of."""
    try:
        one = ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(one, IPv6Address) and one.ipv4_mapped:
        return str(one.ipv4_mapped)
    return str(one) if one.version == 4 else str(ip_network((one, _NETWORK), strict=False))


def token_of(request: Request) -> str | None:
    """The token of a login, if the browser has one. Over https only the cookie counts that can come over https alone."""
    return request.cookies.get(COOKIE if is_secure(request) else PLAIN_COOKIE)


def keep_token(request: Request, response: Response, token: str | None) -> None:
    """Has the browser keep a token until it is closed, or forget the one it has; and nobody the answer."""
    secure = is_secure(request)
    how = {"path": "/", "secure": secure, "httponly": True, "samesite": "strict"}
    response.headers["Cache-Control"] = "no-store"
    if token is None:
        response.delete_cookie(COOKIE if secure else PLAIN_COOKIE, **how)  # type: ignore[arg-type]
    else:
        response.set_cookie(COOKIE if secure else PLAIN_COOKIE, token, **how)  # type: ignore[arg-type]


def is_secure(request: Request) -> bool:
    """Whether it came over https, as far as the process or its proxy says; or cookies are to be so in any case."""
    return request.url.scheme == "https" or bool(request.app.state.house.settings.secure_cookies)


def check_same_origin(request: Request, *, unsaid: bool = False) -> None:
    """Raises CrossSite for a change that no page of this origin asked for. `unsaid`: pass what does not say at all."""
    if request.method in _LOOKING:
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        same = site == "same-origin"
    elif origin is not None:
        # Without the scheme, which only a proxy may know. Where it matters, over https, browsers send the other header.
        same = urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower() != ""
    else:
        same = unsaid
    if not same:
        raise CrossSite
