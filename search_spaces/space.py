"""A search space: named dimensions, when each of them applies, and what its library accepts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from search_spaces._override import adopt, check_limits
from search_spaces._widen import wider
from search_spaces.dimensions import Categorical, Dimension, Float, Int, Scalar, is_number, same_scalar
from search_spaces.errors import SpaceError, unknown_name


@dataclass(frozen=True)
class Condition:
    """
    A dimension applies only while another parameter, its parent, has a given value.

    Parameters
    ----------
    parent : str
        The name of the other parameter.
    equals : scalar
        The value it must have.
    """

    parent: str
    equals: Scalar


@dataclass(frozen=True)
class SearchSpace:
    """
    What may vary in one family of models.

    Parameters
    ----------
    family : str
        The family's name, such as ``"lightgbm"``.
    dimensions : mapping of str to Dimension or scalar
        What each parameter may be; a scalar fixes it.
    conditions : mapping of str to Condition, optional
        When a parameter applies; without a condition it always does.
    limits : mapping of str to tuple of two floats, optional
        The smallest and the largest number the library accepts, where that is known.
    source : str, optional
        Where the space comes from.
    for_categories, for_classes, for_numbers, for_dense : tuple of str, optional
        Parameters that bring nothing where no column is categorical, where the target holds no classes, where
        it holds some, where rows are sparse.
    costly : tuple of str, optional
        Parameters that cost more than they bring where rows are sparse or very many.
    on_images, on_tables : mapping of str to Dimension or scalar, optional
        What parameters are narrowed to where the rows are images, and where they are not.

    Raises
    ------
    SpaceError
        If a condition, a limit or one of the last seven names an unknown parameter, conditions form a circle,
        or a dimension leaves its limits.

    Examples
    --------
    >>> space = SearchSpace("toy", {"depth": Int(1, 8, default=3), "rate": 0.1})
    >>> space.default()
    {'depth': 3, 'rate': 0.1}
    >>> space.override({"depth": 2}).default()
    {'depth': 2, 'rate': 0.1}
    """

    family: str
    dimensions: Mapping[str, Dimension | Scalar]
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    source: str = ""
    for_categories: tuple[str, ...] = ()
    for_classes: tuple[str, ...] = ()
    for_numbers: tuple[str, ...] = ()
    for_dense: tuple[str, ...] = ()
    costly: tuple[str, ...] = ()
    on_images: Mapping[str, Dimension | Scalar] = field(default_factory=dict)
    on_tables: Mapping[str, Dimension | Scalar] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Copies, so that nobody changes a space from outside. Plain dicts, because they can be pickled.
        for mapping in ("dimensions", "conditions", "limits", "on_images", "on_tables"):
            object.__setattr__(self, mapping, dict(getattr(self, mapping)))
        self._check_names((*self.conditions, *self.limits))
        self._check_names((*self.for_categories, *self.for_classes, *self.for_numbers, *self.for_dense))
        self._check_names((*self.costly, *self.on_images, *self.on_tables))
        self._check_names(condition.parent for condition in self.conditions.values())
        for name, limits in self.limits.items():
            check_limits(f"{self.family}.{name}", self.dimensions[name], limits)
        self.ordered()

    def default(self) -> dict[str, Scalar]:
        """
        Give the configuration to start from.

        Returns
        -------
        dict of str to scalar
            The default or fixed value of every active parameter, parents first.
        """
        return self.complete({})

    def active(self, name: str, params: Mapping[str, Scalar]) -> bool:
        """
        Tell whether a parameter applies in a configuration.

        Parameters
        ----------
        name : str
            The parameter.
        params : mapping of str to scalar
            A configuration that holds at least the parameter's parents, as far as they are active.

        Returns
        -------
        bool
            Whether its parent, and the parent's parents, have the values they must have.

        Raises
        ------
        SpaceError
            If `name` is unknown.
        """
        self._check_names((name,))
        condition = self.conditions.get(name)
        if condition is None:
            return True
        return (
            condition.parent in params
            and same_scalar(params[condition.parent], condition.equals)
            and self.active(condition.parent, params)
        )

    def ordered(self) -> tuple[str, ...]:
        """
        Order the parameters such that each comes after the one it depends on.

        Returns
        -------
        tuple of str
            All names; apart from that rule, as written down.

        Raises
        ------
        SpaceError
            If conditions form a circle.
        """
        order: dict[str, None] = {}
        for name in self.dimensions:
            chain = [name]
            while (condition := self.conditions.get(chain[-1])) is not None:
                if condition.parent in chain:
                    raise SpaceError(
                        f"Conditions of `{self.family}` must not form a circle.",
                        " -> ".join([*chain, condition.parent]),
                        "Remove one of these conditions.",
                    )
                chain.append(condition.parent)
            order.update(dict.fromkeys(reversed(chain)))
        return tuple(order)

    def override(self, changes: Mapping[str, Dimension | Scalar]) -> SearchSpace:
        """
        Narrow, widen or fix parameters.

        What a change leaves open stays: a range without a default keeps the old default if that lies inside,
        and a range without `simpler` keeps the old one. `log` is taken as given. A range of whole numbers for
        a `Float` becomes a `Float`.

        Parameters
        ----------
        changes : mapping of str to Dimension or scalar
            The new dimension, or the fixed value, by parameter.

        Returns
        -------
        SearchSpace
            A new space; this one stays as it is.

        Raises
        ------
        SpaceError
            If a name is unknown, or a change does not fit its parameter's type, choices or limits.
        """
        self._check_names(changes)
        adopted = {
            name: adopt(f"{self.family}.{name}", self.dimensions[name], change, self.limits.get(name))
            for name, change in changes.items()
        }
        return replace(self, dimensions={**self.dimensions, **adopted})

    def widened(self, name: str, end: Literal["low", "high"]) -> SearchSpace:
        """
        Move one end of a range outward, as far as its library accepts that.

        Parameters
        ----------
        name : str
            A parameter with a range.
        end : {"low", "high"}
            The end to move: by the width of the range, on a log scale to four times or a quarter of itself.

        Returns
        -------
        SearchSpace
            A new space; an equal one where nothing lies beyond that end.

        Raises
        ------
        SpaceError
            If `name` is unknown or has no range.
        """
        self._check_names((name,))
        dimension = self.dimensions[name]
        if not isinstance(dimension, Float | Int):
            raise SpaceError("Only a range can be widened.", repr(dimension), "Name a parameter with one.")
        moved = wider(dimension, end, self.limits.get(name))
        return replace(self, dimensions={**self.dimensions, name: moved})

    def narrowed(self, *, has_images: bool) -> SearchSpace:
        """
        Narrow parameters to what makes sense for images, or for tables.

        Returns
        -------
        SearchSpace
            The same space with the changes of `on_images` or `on_tables`.
        """
        return self.override(self.on_images if has_images else self.on_tables)

    def fixed(self, names: Collection[str]) -> SearchSpace:
        """
        Fix parameters at their defaults.

        Parameters
        ----------
        names : collection of str
            The parameters; one that is fixed already stays as it is.

        Returns
        -------
        SearchSpace
            A new space; this one stays as it is.

        Raises
        ------
        SpaceError
            If a name is unknown.
        """
        self._check_names(names)
        return self.override({name: self._fit(name, None) for name in names})

    def complete(self, params: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """
        Fit a partial configuration into this space.

        Parameters
        ----------
        params : mapping of str to scalar
            Some values, such as a known-good configuration.

        Returns
        -------
        dict of str to scalar
            A value for every active parameter and no other, parents first: the fixed value; else the given
            number, clipped into the bounds; else the given choice, if it is allowed; else the default.

        Raises
        ------
        SpaceError
            If a name is unknown, or a range gets something else than a finite number.
        """
        self._check_names(params)
        completed: dict[str, Scalar] = {}
        for name in self.ordered():
            if self.active(name, completed):
                completed[name] = self._fit(name, params.get(name))
        return completed

    def _fit(self, name: str, value: Scalar | None) -> Scalar:
        dimension = self.dimensions[name]
        if not isinstance(dimension, Float | Int | Categorical):
            return dimension
        if value is None:
            return dimension.default_value
        if isinstance(dimension, Categorical):
            return value if dimension.contains(value) else dimension.default_value
        if not is_number(value):
            cure = f"Give one in [{dimension.low}, {dimension.high}]."
            raise SpaceError(f"`{self.family}.{name}` must be a finite number.", repr(value), cure)
        clipped = min(max(value, dimension.low), dimension.high)
        return round(clipped) if isinstance(dimension, Int) else float(clipped)

    def _check_names(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self.dimensions:
                rule = f"Every parameter of `{self.family}` must be a known one."
                raise unknown_name(rule, name, self.dimensions)
