"""No password or token in what a person or a log may read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

_USERINFO = re.compile(r"://(?!/)[^\s\"'<>]*@")
_SECRET_FIELD = re.compile(
    r"([?&;]\w*(?:pass|pwd|token|secret|key|sig|credential)\w*=)[^&;\s\"'<>]*", re.IGNORECASE
)


def mask_secrets(text: str) -> str:
    """Replace user names, passwords and tokens inside URLs by ``***``.

    Examples
    --------
    >>> mask_secrets("postgresql://me:pa@ss@db/x?sslpassword=y&a=1")
    'postgresql://***@db/x?sslpassword=***&a=1'
    >>> mask_secrets("sqlite:////home/me@work/x.db")
    'sqlite:////home/me@work/x.db'
    """
    return _SECRET_FIELD.sub(r"\1***", _USERINFO.sub("://***@", text))


def plain(value: Any) -> Any:
    """Turn a value into JSON's types: NaN and infinity become null, secrets in texts are masked."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "item"):  # a numpy scalar
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    return mask_secrets(str(value))
