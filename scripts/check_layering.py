#!/usr/bin/env python3
"""Fails on an include that goes against the layers of DESIGN.md, and names its line.

usage: check_layering.py [ROOT]
"""

import pathlib
import re
import sys

# What each folder of src/pointwork may include directly; what these may include, it may too.
USES = {
    "base": [],
    "files": ["base"],
    "log": ["files"],
    "config": ["base"],
    "text": ["files"],
    "data": ["text"],
    "kernels": ["base"],
    "ops": ["kernels", "config"],
    "route": ["config", "ops"],
    "nn": ["route"],
    "model": ["nn"],
    "checkpoint": ["model", "files", "text"],
    "train": ["checkpoint", "data", "log"],
    "decode": ["checkpoint", "text"],
    "report": ["files", "log", "config"],
}
INCLUDE = re.compile(r'^\s*#\s*include\s+["<]((?:pointwork|apps|tests|bench)/[^">]*)[">]')


def below(folder):
    """The folder itself and all it may include."""
    found = {folder}
    for used in USES[folder]:
        found |= below(used)
    return found


def problems(root):
    sources = root / "src" / "pointwork"
    files = [path for path in sorted(sources.rglob("*")) if path.suffix in {".cpp", ".h", ".cu", ".cuh"}]
    if not files:
        yield f"{sources}: no sources found"
    for path in files:
        name = path.relative_to(root)
        folder = path.relative_to(sources).parts[0]
        if folder not in USES:
            yield f"{name}: {folder} has no place in the layers; give it one in scripts/check_layering.py and DESIGN.md"
            continue
        allowed = below(folder)
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            parts = match[1].split("/")
            layer = parts[1] if parts[0] == "pointwork" else parts[0]
            if layer not in allowed:
                yield f"{name}:{number}: {folder} may not include {layer}: {line.strip()}"
    for path in sorted((root / "apps").rglob("*.[ch]*")):
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            match = INCLUDE.match(line)
            if match and match[1].startswith(("tests/", "bench/")):
                yield f"{path.relative_to(root)}:{number}: apps may not include {match[1].split('/')[0]}: {line.strip()}"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent)
    found = list(problems(root))
    for problem in found:
        print(f"check_layering: {problem}")
    if found:
        print(f"check_layering: error: {len(found)} includes go against the layers of DESIGN.md", file=sys.stderr)
        return 1
    print("check_layering: every include follows the layers")
    return 0


if __name__ == "__main__":
    sys.exit(main())
