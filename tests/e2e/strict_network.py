"""A browser behind a router that lets little through, made of network namespaces.

::

    browser's namespace ── router's namespace: NAT, nftables ── this machine: the server
            .1.2           .1.1                          .2.2    .2.1

Needs the rights of root, and the programs `ip` and `nft` (Debian: iproute2, nftables).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_numbers = itertools.count()

RULES = """
table ip nat {{
  chain pre {{
    type nat hook prerouting priority dstnat
  }}
  chain post {{
    type nat hook postrouting priority srcnat
    oifname "{outward}" masquerade
  }}
}}
table ip filter {{
  chain forward {{
    type filter hook forward priority filter; policy drop
    ct state established,related accept
  }}
}}
"""

NO_IPV6 = """
for which in all default; do
  file=/proc/sys/net/ipv6/conf/$which/disable_ipv6
  [ ! -e $file ] || echo 1 > $file
done
"""


def run(*command: str) -> str:
    """Run a program to its end; what it says on stderr is in the error."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(done.returncode, f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


class StrictNetwork:
    """The namespaces, while they exist; `server` is the address of this machine in there."""

    def __init__(self, name: str, number: int) -> None:
        self._browser, self._router = f"{name}b", f"{name}r"
        self._links = [f"{name}x", f"{name}y", f"{name}z", f"{name}w"]
        self._inside, self._outside = f"10.231.{number}.", f"10.232.{number}."
        self.server = f"{self._outside}1"

    def build(self) -> None:
        """Make the namespaces and what joins them."""
        browser, router, links = self._browser, self._router, self._links
        for namespace in (browser, router):
            run("ip", "netns", "add", namespace)
            # A link gets its IPv6 address seconds after it is up, and on that Chromium breaks off
            # what it is loading (ERR_NETWORK_CHANGED).
            self._in(namespace, "sh", "-c", NO_IPV6)
            self._in(namespace, "ip", "link", "set", "lo", "up")
        near, far, there, here = links
        run("ip", "link", "add", near, "netns", browser, "type", "veth",
            "peer", "name", far, "netns", router)  # fmt: skip
        run("ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", router)
        self._up(browser, near, f"{self._inside}2")
        self._up(router, far, f"{self._inside}1")
        self._up(router, there, f"{self._outside}2")
        run("ip", "address", "add", f"{self.server}/30", "dev", here)
        run("ip", "link", "set", here, "up")
        self._in(browser, "ip", "route", "add", "default", "via", f"{self._inside}1")
        self._in(router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        self._in(router, "nft", RULES.format(outward=there))

    def allow(self, *, tcp: tuple[int, ...] = (), udp: tuple[int, ...] = ()) -> None:
        """Let the browser reach these ports of the server, and no others."""
        for protocol, ports in (("tcp", tcp), ("udp", udp)):
            for port in ports:
                rule = f"ip daddr {self.server} {protocol} dport {port} accept"
                self._in(self._router, "nft", "add", "rule", "ip", "filter", "forward", rule)

    def forward(self, address: str) -> None:
        """Give this machine a public address: the router passes on what is for it."""
        rule = f"ip daddr {address} dnat to {self.server}"
        self._in(self._router, "nft", "add", "rule", "ip", "nat", "pre", rule)

    def command(self, folder: Path, program: str) -> Path:
        """Write a program that is `program`, in the browser's place."""
        path = folder / f"{Path(program).name}-in-{self._browser}"
        path.write_text(f'#!/bin/sh\nexec ip netns exec {self._browser} {program} "$@"\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    def remove(self) -> None:
        """Take all of it away; the links go with their namespaces."""
        for namespace in (self._browser, self._router):
            subprocess.run(["ip", "netns", "delete", namespace], capture_output=True, check=False)

    def _up(self, namespace: str, link: str, address: str) -> None:
        self._in(namespace, "ip", "address", "add", f"{address}/30", "dev", link)
        self._in(namespace, "ip", "link", "set", link, "up")

    def _in(self, namespace: str, *command: str) -> str:
        return run("ip", "netns", "exec", namespace, *command)


@contextlib.contextmanager
def strict_network() -> Iterator[StrictNetwork]:
    """Make the network, and remove it in the end.

    Raises:
        OSError: this machine does not let us.
    """
    number = (os.getpid() * 3 + next(_numbers)) % 250
    network = StrictNetwork(f"ic{os.getpid() % 100_000}n{number}", number)
    try:
        network.build()
        yield network
    finally:
        network.remove()


def obstacle() -> str:
    """Why no such network can be made here; "" where it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in ("ip", "nft"):
        if not shutil.which(program):
            return f"{program} is not installed (see tests/packages.sh)"
    try:
        with strict_network():
            return ""
    except OSError as error:
        return f"network namespaces cannot be made here: {error.strerror}"
