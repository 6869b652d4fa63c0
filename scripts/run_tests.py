#!/usr/bin/env python3
"""Runs CTest on a build folder and tells, folder by folder, what passed, what was skipped and why.

usage: run_tests.py BUILD [CTEST ARGUMENT...]

CTest counts a program of many tests as one, and a program whose tests were all skipped as passed; so the programs' own reports are read.
The last line is CTest's. JOBS=N runs N programs at a time (2).
"""

import collections
import json
import os
import pathlib
import shutil
import subprocess
import sys


def run(build, arguments, reports):
    """Runs CTest, passing its output on; returns its status and its line of result."""
    command = ["ctest", "--test-dir", str(build), "--output-on-failure", "--no-tests=error",
               "-j", os.environ.get("JOBS", "2"), *arguments]
    environment = dict(os.environ, GTEST_OUTPUT=f"json:{reports}/", GTEST_BRIEF="1", GTEST_COLOR="no")
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, errors="replace")
    result = ""
    for line in process.stdout:
        if "tests passed" in line:
            result = line.strip()
        sys.stdout.write(line)
        sys.stdout.flush()
    return process.wait(), result


def reason(test):
    """The last line of the message a skipped test gave."""
    for skipped in test.get("skipped", []):
        lines = [line for line in skipped.get("message", "").splitlines() if line.strip()]
        if lines:
            return lines[-1].strip()
    return "no reason given"


def summarise(reports):
    total = collections.Counter()
    reasons = collections.Counter()
    rows = []
    for path in sorted(reports.glob("*.json")):
        report = json.loads(path.read_text(encoding="utf-8", errors="replace"))
        counts = collections.Counter()
        for suite in report.get("testsuites", []):
            for test in suite.get("testsuite", []):
                if test.get("result") == "SKIPPED":
                    counts["skipped"] += 1
                    reasons[reason(test)] += 1
                elif test.get("failures"):
                    counts["failed"] += 1
                elif test.get("result") == "COMPLETED":
                    counts["passed"] += 1
        total += counts
        rows.append((path.stem.removeprefix("test_"), counts, report.get("time", "?")))
    if not rows:
        return
    print(f"\n{'':14}{'passed':>8}{'skipped':>9}{'failed':>8}{'time':>10}")
    for name, counts, time in [*rows, ("all", total, "")]:
        print(f"{name:14}{counts['passed']:8}{counts['skipped']:9}{counts['failed']:8}{time:>10}")
    for text, count in reasons.most_common():
        print(f"skipped {count}: {text}")


def main():
    if len(sys.argv) < 2 or not pathlib.Path(sys.argv[1], "CTestTestfile.cmake").exists():
        print("run_tests: error: usage: run_tests.py BUILD [CTEST ARGUMENT...], BUILD being a build folder with tests", file=sys.stderr)
        return 2
    build = pathlib.Path(sys.argv[1]).resolve()
    reports = build / "reports"
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir()
    status, result = run(build, sys.argv[2:], reports)
    summarise(reports)
    print(f"\n{result or 'CTest gave no result'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
