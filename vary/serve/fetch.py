"""Download an image that a request names by URL, from public addresses only."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Collection
from urllib.parse import urlsplit

from ..io.errors import InputError
from ..io.image import MAX_BYTES

FETCH_S = 10.0


# -- images by address -----------------------------------------------------------------------------------------------


class _Pinned(http.client.HTTPSConnection):
    """HTTPS to one address, which was looked at, under the name that the certificate must be for."""

    def __init__(self, host: str, address: str, timeout: float):
        self.address, self.tls = address, ssl.create_default_context()
        super().__init__(host, 443, timeout=timeout)

    def connect(self) -> None:
        self.sock = self.tls.wrap_socket(
            socket.create_connection((self.address, 443), self.timeout), server_hostname=self.host
        )


def fetch_image(url: str, hosts: Collection[str] = (), limit: int = MAX_BYTES) -> bytes:
    """Fetch the bytes at an `https:` address of one of `hosts`; of no other, and by default of none.

    The name is resolved once, all its addresses must be public, and the connection goes to the one that was looked at.
    No redirects, no proxy, FETCH_S seconds and `limit` bytes at most. Raises InputError, before any socket is opened
    for an address that is not allowed.
    """
    try:
        parts = urlsplit(url)
        plain = parts.scheme == "https" and parts.port in (None, 443) and "@" not in parts.netloc
    except ValueError:
        raise InputError("image_url: not an address") from None
    if not plain:
        raise InputError("image_url: allowed are data: and plain https: addresses")
    host = (parts.hostname or "").lower()
    if host not in {name.lower() for name in hosts}:
        raise InputError(
            "image_url: this host is not one that the server may fetch from; send the image as a data: URL"
        )
    ends = time.monotonic() + FETCH_S
    connection = _Pinned(host, _public_address(host), FETCH_S)
    try:
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        answer = connection.getresponse()
        if answer.status != 200:
            raise InputError(f"image_url: the host answered {answer.status}; redirects are not followed")
        data = b""
        while piece := answer.read1(1 << 16):
            data += piece
            if len(data) > limit or time.monotonic() > ends:
                raise InputError(f"image_url: more than {limit >> 20} MiB or {FETCH_S:g} s")
        return data
    except (OSError, http.client.HTTPException):
        raise InputError("image_url: the host cannot be reached or broke off") from None
    finally:
        connection.close()


def _public_address(host: str) -> str:
    """Return the first address of a name. All must be public: no loopback, no private network, no tunnel."""
    try:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError):
        raise InputError("image_url: the host is not known") from None
    for text in found:
        address = ipaddress.ip_address(text.partition("%")[0])
        tunnel = isinstance(address, ipaddress.IPv6Address) and (
            address not in ipaddress.ip_network("2000::/3") or address.sixtofour or address.teredo
        )
        if not address.is_global or address.is_multicast or tunnel:
            raise InputError("image_url: the host has an address that is not public")
    return found[0]
