#!/usr/bin/env python3
"""scripts/run_tests.py counts what programs of tests report, and fails where one does."""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


class RunTests(unittest.TestCase):
    def setUp(self):
        self.build = pathlib.Path(tempfile.mkdtemp(prefix="pointwork-run-"))
        self.addCleanup(shutil.rmtree, self.build)
        self.tests = []

    def add(self, name, status=0, report=None):
        """A program that writes a report as GoogleTest does, and ends with a status."""
        script = self.build / f"{name}.sh"
        lines = []
        if report is not None:
            (self.build / f"{name}.json").write_text(json.dumps(report))
            lines.append(f'cp "{self.build}/{name}.json" "${{GTEST_OUTPUT#json:}}test_{name}.json"')
        script.write_text("\n".join([*lines, f"exit {status}"]))
        self.tests.append(f'add_test({name} sh "{script}")\n')

    def run_them(self, *arguments):
        (self.build / "CTestTestfile.cmake").write_text("".join(self.tests))
        result = subprocess.run([sys.executable, ROOT / "scripts/run_tests.py", self.build, *arguments], capture_output=True, text=True)
        return result.returncode, result.stdout + result.stderr

    @staticmethod
    def report(passed=0, failed=0, skipped=()):
        tests = [{"result": "COMPLETED"}] * passed
        tests += [{"result": "COMPLETED", "failures": [{"failure": "why"}]}] * failed
        tests += [{"result": "SKIPPED", "skipped": [{"message": f"file.cpp:3\n{why}\n"}]} for why in skipped]
        return {"time": "1.5s", "testsuites": [{"testsuite": tests}]}

    def test_counts_passed_and_skipped_tests_with_their_reasons(self):
        self.add("a", report=self.report(passed=3, skipped=["no data", "no data", "no GPU"]))
        self.add("b", report=self.report(passed=2))
        status, output = self.run_them()
        self.assertEqual(status, 0, output)
        rows = {line.split()[0]: line.split()[1:] for line in output.splitlines() if line[:1].isalpha() and len(line.split()) >= 4}
        self.assertEqual(rows["a"], ["3", "3", "0", "1.5s"])
        self.assertEqual(rows["b"], ["2", "0", "0", "1.5s"])
        self.assertEqual(rows["all"], ["5", "3", "0"])
        self.assertIn("skipped 2: no data\n", output)
        self.assertIn("skipped 1: no GPU\n", output)
        self.assertIn("100% tests passed", output.splitlines()[-1])

    def test_fails_where_a_program_fails(self):
        self.add("a", report=self.report(passed=3))
        self.add("b", status=1, report=self.report(passed=1, failed=2))
        status, output = self.run_them()
        self.assertNotEqual(status, 0)
        self.assertRegex(output, r"\nb +1 +0 +2 ")
        self.assertIn("50% tests passed, 1 tests failed out of 2", output.splitlines()[-1])

    def test_fails_where_a_program_dies_without_a_report(self):
        self.add("a", status=139)
        status, output = self.run_them()
        self.assertNotEqual(status, 0)
        self.assertIn("1 tests failed out of 1", output.splitlines()[-1])

    def test_does_not_count_reports_of_an_earlier_run(self):
        self.add("a", report=self.report(passed=3))
        self.add("b", report=self.report(passed=7))
        self.run_them()
        status, output = self.run_them("-R", "^a$")
        self.assertEqual(status, 0, output)
        self.assertRegex(output, r"\nall +3 +0 +0")

    def test_fails_where_there_are_no_tests(self):
        status, output = self.run_them()
        self.assertNotEqual(status, 0, output)

    def test_names_what_is_no_build_folder(self):
        for arguments in ([], [str(self.build / "absent")]):
            result = subprocess.run([sys.executable, ROOT / "scripts/run_tests.py", *arguments], capture_output=True, text=True)
            self.assertEqual(result.returncode, 2)
            self.assertIn("usage: run_tests.py BUILD", result.stderr)


if __name__ == "__main__":
    unittest.main()
