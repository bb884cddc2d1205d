"""Pages that explain findings: what each code means, how it misleads, what to do; one file a code."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def codes() -> tuple[str, ...]:
    """Return the codes that have a page: G001, ... of data, D001, ... of models, M001, ... of what moved.

    Examples
    --------
    >>> codes()[0], "G001" in codes()
    ('D001', True)
    """
    pages = (page.name for page in files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(".md") for name in pages if name.endswith(".md")))


def page(code: str) -> str:
    """Return the page of a code, as Markdown.

    Raises
    ------
    KeyError
        If the code has no page.

    Examples
    --------
    >>> page("G001").splitlines()[0]
    '# G001: copies of rows'
    """
    if code not in codes():
        raise KeyError(code)
    return files(__name__).joinpath(f"{code}.md").read_text(encoding="utf-8")
