#!/usr/bin/env python3
"""scripts/setup.sh says in one line why it cannot go on, and leaves nothing half-made."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Setup(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pointwork-setup-"))
        self.addCleanup(shutil.rmtree, self.folder)
        (self.folder / "scripts").mkdir()
        (self.folder / "fake").mkdir()
        shutil.copy(ROOT / "scripts" / "setup.sh", self.folder / "scripts")

    def fake(self, name, body):
        """A program that stands in for a real one."""
        path = self.folder / "fake" / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return path

    def run_setup(self, *arguments, **environment):
        environment = {**os.environ, "PATH": f"{self.folder / 'fake'}:{os.environ['PATH']}", **environment}
        result = subprocess.run([self.folder / "scripts" / "setup.sh", *arguments], env=environment,
                                capture_output=True, text=True, timeout=300)
        return result.returncode, result.stdout, result.stderr

    def expect_refused(self, result, *parts, status=1):
        code, _, errors = result
        self.assertEqual(code, status, result)
        self.assertEqual(errors.count("\n"), 1, errors)
        self.assertTrue(errors.startswith("setup: error: "), errors)
        for part in parts:
            self.assertIn(part, errors)

    def test_help_names_every_option(self):
        status, output, _ = self.run_setup("--help")
        self.assertEqual(status, 0)
        for option in ("--tests", "--checks", "--corpus", "--cuda", "--oracles", "--smollm2", "--skip-packages"):
            self.assertIn(option, output)

    def test_unknown_option(self):
        self.expect_refused(self.run_setup("--test"), "--test", status=2)

    def test_unsupported_architecture(self):
        self.fake("uname", '[ "$1" = -m ] && echo aarch64 || echo Linux')
        self.expect_refused(self.run_setup("--skip-packages"), "aarch64", "x86-64")

    def test_disk_full(self):
        self.fake("df", 'printf "Filesystem 1M-blocks Used Available Use%% Mounted\\nx 9 2 7 1%% /\\n"')
        self.expect_refused(self.run_setup("--skip-packages"), "disk full", "200 MB", "7 MB")
        self.assertFalse((self.folder / ".venv").exists())

    def test_python_without_venv(self):
        python = self.fake("bare-python", 'case "$*" in *ensurepip*) exit 1 ;; esac; exec python3 "$@"')
        self.expect_refused(self.run_setup("--skip-packages", PYTHON=str(python)), "python3-venv")
        self.assertFalse((self.folder / ".venv").exists())

    def test_no_python(self):
        self.expect_refused(self.run_setup("--skip-packages", PYTHON="no-such-python"), "no-such-python")

    def test_missing_packages_without_root(self):
        self.fake("dpkg-query", "exit 1")
        self.fake("id", "echo 1000")
        self.fake("sudo", 'echo "sudo: a password is required" >&2; exit 1')
        status, output, errors = self.run_setup("--tests")
        self.assertEqual(status, 1)
        if "not Debian 12" not in errors:
            self.assertIn("libgtest-dev", output)
            self.assertIn("a password is required", errors)
        self.assertEqual(errors.count("\n"), 1, errors)

    def test_no_network_and_then_again(self):
        nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_FIND_LINKS": "", "PIP_RETRIES": "0"}
        for _ in range(2):
            result = self.run_setup("--skip-packages", **nowhere)
            self.expect_refused(result, "LibTorch 2.11.0", "no network")
        self.assertNotIn("afresh", result[1])

    def test_tests_get_the_tokenizers_and_no_more(self):
        python = self.folder / ".venv" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text("""#!/bin/sh
case "$1" in
  -) for one in "$@"; do case $one in tokenizers==*|tiktoken==*|regex==*) echo "$one" ;; esac; done ;;
  -m) echo "$@" >>"$0.log" ;;
esac
""")
        python.chmod(0o755)
        log = python.with_name("python.log")
        self.assertEqual(self.run_setup("--skip-packages")[0], 0)
        self.assertFalse(log.exists())
        status, output, errors = self.run_setup("--skip-packages", "--tests")
        self.assertEqual(status, 0, errors)
        self.assertIn("tokenizers", output)
        asked = log.read_text().split()
        self.assertEqual(log.read_text().count("\n"), 1)
        self.assertIn("--no-deps", asked)
        self.assertEqual([one.split("==")[0] for one in asked if "==" in one], ["tokenizers", "tiktoken", "regex"])
        self.assertFalse((self.folder / ".venv" / "unfinished").exists())

    def test_a_run_cut_off_starts_afresh(self):
        (self.folder / ".venv").mkdir()
        (self.folder / ".venv" / "unfinished").touch()
        _, output, _ = self.run_setup("--skip-packages", PYTHON="no-such-python")
        self.assertIn("afresh", output)
        self.assertFalse((self.folder / ".venv").exists())


if __name__ == "__main__":
    unittest.main()
