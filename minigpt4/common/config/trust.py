"""What a YAML may do: the user's own may import modules and read the environment, one that came with a download not.

Consent to a bundle's `imports:` is asked for by name (`--allow-imports`). Its resolvers (`${oc.env:…}`), aliases and
unconsented modules are refused before a value is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from minigpt4.common.config.layers import KeyPath, Layer, dotted
from minigpt4.common.errors import UserError
from minigpt4.common.registry import is_announced, place_of_module

NO_CONSENT = "config.imports"
"""code of the error that names modules for which consent is missing"""
RESOLVER = re.compile(r"\$\{.*:", re.DOTALL)
"""`${name:…}`, at whatever depth; `${a.b}` names a key of the same file and stays allowed"""


@dataclass(frozen=True)
class Trust:
    """What may happen while a YAML is read."""

    imports: bool
    """its `imports:` are followed"""
    resolvers: bool
    """`${oc.env:…}` and others are filled in, and aliases (`*name`) may be used"""


OWN = Trust(imports=True, resolvers=True)
"""a YAML that the user names on the command line"""


def downloaded(*, allow_imports: bool) -> Trust:
    """A YAML that lies in a bundle."""
    return Trust(imports=allow_imports, resolvers=False)


def refuse_untrusted_values(file: Layer, trust: Trust) -> None:
    """Raise `UserError` if a downloaded YAML asks for more than its own values."""
    if trust.resolvers:
        return
    for key, text in _texts(file.values, ()):
        if RESOLVER.search(text):
            raise UserError("config.resolver", where=str(file.origin(key)), what=f"{dotted(key)} is {text!r}: a config "
                            "that came with a bundle may not read the environment or call anything",
                            fix="write the value itself there, if you trust the bundle")


def refuse_unwanted_imports(names: list[str], trust: Trust, *, where: str) -> None:
    """Raise `UserError` (code `NO_CONSENT`) if modules would be imported without the user's consent."""
    unknown = [] if trust.imports else [name for name in names if not is_announced(name)]
    if unknown:
        modules = ", ".join(f"{name} ({place_of_module(name)})" for name in unknown)
        raise UserError(NO_CONSENT, where=where, what=f"this bundle asks for Python modules to be run: {modules}",
                        fix="if you trust them, add --allow-imports (allow_imports=True in Python)")


def _texts(value: object, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """Every text below a value, keys included."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, child in value.items():
            yield path, str(key)
            yield from _texts(child, (*path, str(key)))
    elif isinstance(value, list):
        for number, child in enumerate(value):
            yield from _texts(child, (*path, str(number)))
