"""Entry point: loads this folder as a package of its own, whatever the path, and serves standard input."""

import importlib.util
import sys
from pathlib import Path

_NAME = "engine_worker"


def _load() -> None:
    """Make the package importable without adding a folder to the path, where its neighbours could hide others."""
    folder = Path(__file__).resolve().parent
    spec = importlib.util.spec_from_file_location(
        _NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    sys.modules[_NAME] = importlib.util.module_from_spec(spec)


if __name__ == "__main__":
    _load()
    importlib.import_module(f"{_NAME}.service").main()
