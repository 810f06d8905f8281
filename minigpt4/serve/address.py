"""Where the page is served, who can reach it there, and who may come in."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

from minigpt4.common.errors import UserError

THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


def credentials(given: str | None) -> tuple[str, str] | None:
    """`user:password` of the command line, in two.

    Raises:
        UserError: one of the two is missing.
    """
    if given is None:
        return None
    user, _, password = given.partition(":")
    if not user or not password:
        raise UserError("demo.auth", where="--auth", what="needs a user and a password",
                        fix="write --auth user:password")
    return user, password


def warning(host: str, *, share: bool, auth: bool) -> str:
    """A sentence for who serves a page that others can reach without a password; empty where they cannot."""
    if auth or (host in THIS_MACHINE and not share):
        return ""
    who = "everybody who learns its address" if share else "every machine that reaches this one over the network"
    return (f"{who} can use this page and the model; give --auth user:password to let in only whom you tell, "
            + ("or leave out --share" if share else "or leave out --host to serve this machine only"))


def bypass_proxies(host: str, environment: MutableMapping[str, str] | None = None) -> None:
    """This machine is asked directly, whatever proxy the environment names: gradio looks at its own page at the start.

    Args:
        host: that the page is served at.
        environment: changed in place; None = that of this process.
    """
    environment = os.environ if environment is None else environment
    wanted = [*THIS_MACHINE, *([host] if host not in (*THIS_MACHINE, "0.0.0.0", "::") else [])]
    for name in ("no_proxy", "NO_PROXY"):
        listed = [entry.strip() for entry in environment.get(name, "").split(",") if entry.strip()]
        environment[name] = ",".join(dict.fromkeys([*listed, *wanted]))
