"""Writes into tables and modules of others that can be undone."""

import functools
from typing import Any, Callable, List, MutableMapping


class Changes:
    """Writes into tables and modules, and undoes it to the letter."""

    def __init__(self) -> None:
        self._undo: List[Callable[[], Any]] = []

    def set_item(self, table: MutableMapping[Any, Any], key: Any, value: Any) -> None:
        if key in table:
            self._undo.append(functools.partial(table.__setitem__, key, table[key]))
        else:
            self._undo.append(functools.partial(table.pop, key, None))
        table[key] = value

    def set_attribute(self, owner: Any, name: str, value: Any) -> None:
        self._undo.append(functools.partial(setattr, owner, name, vars(owner)[name]))
        setattr(owner, name, value)

    def wrap(self, owner: Any, name: str, function: Callable[..., Any]) -> None:
        """Call `function` in the place of a function or method; it gets that one, and then its arguments."""
        original = vars(owner)[name]

        @functools.wraps(original)
        def replacement(*args: Any, **kwargs: Any) -> Any:
            return function(original, *args, **kwargs)

        self.set_attribute(owner, name, replacement)

    def undo(self) -> None:
        while self._undo:
            self._undo.pop()()
