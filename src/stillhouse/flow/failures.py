"""A call's exception, as its row keeps it, and raised again where a resumed run comes to the call.

`except` clauses must take it as they took the first one. So its class is made again where it is a builtin's or one of a
module that is imported by now, and where its arguments are texts, numbers or truth values that give the same exception
again. Otherwise a subclass of the nearest class that can be found (its own, a base, at last Exception) stands for it,
with its name, its text and its plain attributes. Nothing is imported and nothing is unpickled for a row's sake.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from stillhouse.addresses import without_secrets

_PLAIN = (str, int, float, bool, type(None))
_LONGEST = 4000  # characters of an exception's text, and of its arguments together
_LONGEST_ATTRIBUTE = 200


def kept(error: BaseException) -> dict[str, Any]:
    """What a row keeps of an exception, as JSON."""
    classes = [f"{kind.__module__}:{kind.__qualname__}" for kind in type(error).__mro__ if _is_told(kind)]
    text = without_secrets(_text(error)[: 2 * _LONGEST])[:_LONGEST]
    told: dict[str, Any] = {"classes": classes, "text": text}
    if isinstance(error, BaseExceptionGroup):
        told["message"] = without_secrets(error.message)
        told["members"] = [kept(member) for member in error.exceptions]
    elif all(type(part) in _PLAIN for part in error.args) and len(str(error.args)) <= _LONGEST:
        told["args"] = [_clean(part) for part in error.args]
    attributes = {name: _clean(value) for name, value in vars(error).items() if _is_attribute(name, value)}
    return told | ({"attributes": attributes} if attributes else {})


def _is_told(kind: type) -> bool:
    return issubclass(kind, Exception) and kind is not Exception


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # an exception whose own __str__ fails is told without words
        return ""


def _clean(part: Any) -> Any:
    return without_secrets(part) if isinstance(part, str) else part


def _is_attribute(name: str, value: Any) -> bool:
    if name.startswith("stillhouse_") or type(value) not in _PLAIN:
        return False
    return not isinstance(value, str) or len(value) <= _LONGEST_ATTRIBUTE


def again(told: Mapping[str, Any], modules: Sequence[str] = ()) -> Exception:
    """The exception that a row keeps. `modules`: where else its class may be, such as the flow's own module."""
    kind, exact = _found(told["classes"], modules)
    made: Exception | None = None
    if "members" in told:
        members = [again(member, modules) for member in told["members"]]
        made = _made(kind, [told["message"], members]) if issubclass(kind, ExceptionGroup) else None
        made = ExceptionGroup(told["message"], members) if made is None else made
    elif exact and "args" in told:
        made = _made(kind, told["args"])
    error = _stand_in(kind, told) if made is None else made
    error.__dict__.update(told.get("attributes", {}))
    return error


def _found(classes: Sequence[str], modules: Sequence[str]) -> tuple[type[Exception], bool]:
    """The nearest class that can be found; and whether it is the exception's own."""
    base: type[Exception] = Exception
    for name in reversed(classes):  # from the most general one on
        found = _class_named(name, modules) or _subclass_named(base, name)
        if found is not None:
            base = found
    own = bool(classes) and f"{base.__module__}:{base.__qualname__}".partition(":")[2] == classes[0].partition(":")[2]
    return base, own


def _class_named(name: str, modules: Sequence[str]) -> type[Exception] | None:
    module, _, qualname = name.partition(":")
    for place in (module, *modules):
        found: Any = sys.modules.get(place)
        for part in qualname.split("."):
            found = getattr(found, part, None)
        if isinstance(found, type) and issubclass(found, Exception):
            return found
    return None


def _subclass_named(base: type[Exception], name: str) -> type[Exception] | None:
    """A class that no module has under its name, such as one of a function: where there is but one of that name."""
    module, _, qualname = name.partition(":")
    same = [kind for kind in base.__subclasses__() if (kind.__module__, kind.__qualname__) == (module, qualname)]
    same = [kind for kind in same if not kind.__dict__.get(_STANDS_IN)]
    return same[0] if len(same) == 1 else None


_STANDS_IN = "stillhouse_stands_in"


def _made(kind: type[Exception], args: Sequence[Any]) -> Exception | None:
    """The exception, where its class makes the same one of the same arguments."""
    try:
        error = kind(*args)
        return error if type(error) is kind and list(error.args) == list(args) else None
    except Exception:  # the app's own class may refuse in any way; a stand-in is raised then
        return None


def _stand_in(kind: type[Exception], told: Mapping[str, Any]) -> Exception:
    """An exception of a subclass of this class, with the text of the one that it stands for."""
    text, name = told["text"], (told["classes"] or [":Exception"])[0]
    module, _, qualname = name.partition(":")
    body = {
        "__module__": module,
        "__qualname__": qualname,
        "__str__": lambda self: text,
        "__init__": lambda self, *args: None,
        _STANDS_IN: True,
    }
    for base in (kind, Exception):
        try:
            error: Exception = type(qualname.rpartition(".")[2], (base,), body)(text)
        except Exception:  # a class that cannot be derived from, or made of a text
            continue
        error.args = (text,)
        return error
    raise AssertionError("unreachable")
