#!/usr/bin/env python3
"""Fails on sources over 400 lines, and on text that holds only on one machine: absolute paths, package mirrors, private addresses.

usage: check_repository.py [ROOT]
"""

import pathlib
import re
import subprocess
import sys

LONGEST = 400
SOURCES = {".cpp", ".h", ".cu", ".cuh", ".py", ".sh", ".cmake"}
# These patterns do not match their own text.
FORBIDDEN = {
    "an absolute path of one machine": re.compile(r"(?<![\w.~}])/(?:work|home|root|Users|mnt|scratch)/[\w.-]"),
    "the host of a package registry": re.compile(
        r"(?:https?://[^\s\"')>]*|[\w-]+\.)(?:[p]ypi\.|[p]ythonhosted|[a]rtifactory|[p]kg\.dev|[d]ownload\.pytorch)|index-url\s*=?\s*http"),
    "a private address": re.compile(r"\b(?:10\.\d{1,3}|192\.168|172\.(?:1[6-9]|2\d|3[01]))\.\d{1,3}\.\d{1,3}\b"),
}


def listed(root):
    """What git tracks or would track; every file where there is no git."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    result = subprocess.run(command, capture_output=True)
    if result.returncode == 0:
        names = [name for name in result.stdout.decode().split("\0") if name]
    else:
        names = [str(path.relative_to(root)) for path in root.rglob("*")]
    return [root / name for name in sorted(set(names)) if (root / name).is_file()]


def problems(root):
    files = listed(root)
    if not files:
        yield f"{root}: no files found"
    for path in files:
        name = path.relative_to(root)
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        if path.suffix in SOURCES and len(lines) > LONGEST:
            yield f"{name}: {len(lines)} lines; at most {LONGEST} are allowed"
        for number, line in enumerate(lines, 1):
            for what, pattern in FORBIDDEN.items():
                match = pattern.search(line)
                if match:
                    yield f"{name}:{number}: {what}: {match[0]}"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent)
    found = list(problems(root))
    for problem in found:
        print(f"check_repository: {problem}")
    if found:
        print(f"check_repository: error: {len(found)} things do not belong into the repository", file=sys.stderr)
        return 1
    print("check_repository: lengths, paths and hosts are as they should be")
    return 0


if __name__ == "__main__":
    sys.exit(main())
