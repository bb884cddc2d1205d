"""No password or token in what a person or a log may read."""

from __future__ import annotations

import re

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
