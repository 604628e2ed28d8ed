"""The one place that imports the user's own modules: an app's file or module, and functions named as `module:function`.

Modules are found as `python -m` would find them: in the working folder, then wherever Python looks. An error that the
user's code raises while it is imported is passed on as it is, except where a function below says so.
"""

import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from stillhouse.errors import UserError


def object_named(name: str) -> Any:
    """What `module:object` names.

    Raises ImportError, AttributeError, SyntaxError, or ValueError where one of the two names is missing.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ValueError("name it as module:object")
    _look_in(Path.cwd())
    return getattr(importlib.import_module(module), attribute)


def source_files(module: str) -> list[Path]:
    """The files that `object_named` would take this module and the packages around it from. Nothing is imported.

    Raises ImportError where Python finds none, or none that is a file.
    """
    folder = str(Path.cwd())
    places: list[str] | None = sys.path if folder in sys.path else [folder, *sys.path]
    files: list[Path] = []
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        name = ".".join(parts[:end])
        loaded = sys.modules.get(name)
        found = getattr(loaded, "__spec__", None) or importlib.machinery.PathFinder.find_spec(name, places)
        if found is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if found.origin is not None and Path(found.origin).is_file():
            files.append(Path(found.origin))
        elif end == len(parts):
            raise ImportError(f"the module {name!r} is no file", name=name)
        places = None if found.submodule_search_locations is None else list(found.submodule_search_locations)
        if places is None and end < len(parts):
            raise ModuleNotFoundError(f"{name!r} is not a package", name=module)
    return files


def load_hook(name: str, option: str) -> Callable[..., Any]:
    """The function that `module:function` names. `option`: the command's option that it came by, for UserError."""
    try:
        hook = object_named(name)
    except (ImportError, AttributeError, SyntaxError, ValueError) as error:
        raise UserError(f"{option} {name}: cannot be imported ({error}); name a function as module:function") from None
    if not callable(hook):
        raise UserError(f"{option} {name}: is not a function")
    return hook  # type: ignore[no-any-return]


def load_app(app: str) -> ModuleType:
    """The module of an app, given as a Python file or as a module's name. Raises UserError where there is none."""
    if not app.endswith(".py"):
        _look_in(Path.cwd())
        try:
            return importlib.import_module(app)
        except ModuleNotFoundError as error:
            if error.name != app:
                raise
            raise UserError(f"there is no module {app!r} here; give a file, as in app.py:main") from None
    path = Path(app)
    if not path.is_file():
        raise UserError(f"{app}: no such file; give FILE.py:FLOW")
    return load_file(path)


def load_file(path: Path, name: str | None = None) -> ModuleType:
    """The module in a Python file as it is now, under `name` (default: the file's).

    From then on modules in its folder can be imported.
    """
    name = name or path.stem
    _look_in(path.parent.resolve())
    spec = importlib.util.spec_from_file_location(name, path, loader=_FromSource(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def load_module(name: str, file: Path | None) -> ModuleType:
    """The module of that name or, where Python knows none, the one in `file`. Raises UserError where there is neither.

    A worker on another machine finds the user's function this way: a script's `__main__` is known by its file alone.
    """
    if name == "__main__":
        name = Path(file or "").stem
    else:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name.partition(".")[0]:
                raise
    if file is None or not file.is_file():
        raise UserError(
            f"a worker finds neither the module {name} nor {file}; put the code on every machine, at the same place"
        )
    return load_file(file, name)


def _look_in(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


class _FromSource(importlib.machinery.SourceFileLoader):
    """Compiles what the file holds now. Python's bytecode cache misses an edit of equal length in the same second."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)
