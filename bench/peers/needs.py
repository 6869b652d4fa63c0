"""What the comparisons import lies in .venv, where scripts/setup.sh puts it."""

import importlib
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def modules(option, *names):
    """Goes on only where all of them can be imported: here, else begun again by the Python of .venv. `option` of set-up installs them."""
    try:
        for name in names:
            importlib.import_module(name)
    except ImportError as error:
        python = ROOT / ".venv" / "bin" / "python"
        if os.environ.get("POINTWORK_PEERS_VENV") or not python.exists():
            sys.exit(f"{pathlib.Path(sys.argv[0]).name}: error: Python cannot import {error.name}; run scripts/setup.sh {option}")
        os.environ["POINTWORK_PEERS_VENV"] = "1"
        os.execv(python, [str(python), *sys.argv])
