#!/usr/bin/env python3
"""The checks of scripts/ notice what they are for."""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(*command, **options):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    return result.returncode, result.stdout + result.stderr


class Checks(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pointwork-checks-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def check(self, name):
        return run(sys.executable, ROOT / "scripts" / name, self.folder)


class Layering(Checks):
    def test_includes_along_the_layers_pass(self):
        self.write("src/pointwork/base/check.h", "#pragma once\n#include <string>\n")
        self.write("src/pointwork/ops/rope.cpp", '#include "pointwork/base/check.h"\n#include "pointwork/kernels/rope.h"\n')
        self.write("src/pointwork/train/run.cpp", '#include "pointwork/data/batch.h"\n#include "pointwork/route/route.h"\n')
        self.write("apps/train.cpp", '#include "pointwork/train/run.h"\n#include "pointwork/report/report.h"\n')
        status, output = self.check("check_layering.py")
        self.assertEqual(status, 0, output)

    def test_back_edges_fail_with_their_line(self):
        edges = [("base", "files"), ("ops", "route"), ("route", "nn"), ("data", "train"), ("kernels", "ops"),
                 ("decode", "train"), ("model", "data"), ("report", "train"), ("config", "log")]
        for user, used in edges:
            with self.subTest(user=user, used=used):
                self.write(f"src/pointwork/{user}/planted.cpp", f'#include <vector>\n#include "pointwork/{used}/thing.h"\n')
                status, output = self.check("check_layering.py")
                self.assertEqual(status, 1, output)
                self.assertIn(f'{user}/planted.cpp:2: {user} may not include {used}: #include "pointwork/{used}/thing.h"', output)
                shutil.rmtree(self.folder / "src")

    def test_library_may_not_include_programs_or_tests(self):
        self.write("src/pointwork/model/a.cpp", '#include "apps/common.h"\n')
        self.write("src/pointwork/model/b.cpp", '#include "tests/support/data.h"\n')
        self.write("apps/c.cpp", '#include "tests/support/data.h"\n')
        status, output = self.check("check_layering.py")
        self.assertEqual(status, 1)
        self.assertEqual(output.count("may not include"), 3, output)

    def test_folder_without_a_place_fails(self):
        self.write("src/pointwork/misc/a.cpp", "\n")
        status, output = self.check("check_layering.py")
        self.assertEqual(status, 1)
        self.assertIn("misc has no place", output)

    def test_nothing_to_check_fails(self):
        self.assertEqual(self.check("check_layering.py")[0], 1)


class Repository(Checks):
    def test_what_belongs_there_passes(self):
        self.write("src/a.cpp", "// see https://arxiv.org/abs/2404.02258 and src/home/x, at 127.0.0.1\n" * 400)
        status, output = self.check("check_repository.py")
        self.assertEqual(status, 0, output)

    def test_what_does_not_belong_there_fails_with_its_line(self):
        host = "py" + "pi.org"
        cases = {"/ho" + "me/someone/x": "absolute path", "cd /wo" + "rk/main": "absolute path", f"https://{host}/simple": "registry",
                 f"https://mirror.example/arti" + "factory/api": "registry", "http://10.1" + ".2.3:80/": "private address"}
        for text, what in cases.items():
            with self.subTest(text=text):
                self.write("notes.md", f"first\n{text}\n")
                status, output = self.check("check_repository.py")
                self.assertEqual(status, 1, output)
                self.assertIn("notes.md:2:", output)
                self.assertIn(what, output)

    def test_long_source_fails(self):
        self.write("src/a.cpp", "int x;\n" * 401)
        status, output = self.check("check_repository.py")
        self.assertEqual(status, 1)
        self.assertIn("a.cpp: 401 lines", output)


if __name__ == "__main__":
    unittest.main()
