#!/usr/bin/env python3
"""Ids of other people's kinds of tokenizers against the libraries that define them, on hard text.

usage: variants_test.py PROGRAM json|t5|sentencepiece

json           one tiny tokenizer of every kind of tokenizer.json that is read (tools/tokenizer_cases.py), against `tokenizers`
t5             T5's tokenizer.json of the data folder against `tokenizers`
sentencepiece  tiny .model files and T5's, against `sentencepiece`, and as tokenizer.json against ourselves

Without the libraries or the data the status is 77: skipped. `sentencepiece` is no part of the set-up: put it on PYTHONPATH.
"""

import json
import lzma
import pathlib
import subprocess
import sys
import tempfile
import unicodedata
import unittest

import oracle_test
from oracle_test import DATA, ROOT, hard_texts, skip, words

sys.path.insert(0, str(ROOT / "tools"))
import tokenizer_cases  # noqa: E402

PROGRAM = ""


def assigned(texts):
    """Without characters that this Python does not know: libraries differ in whether they are letters yet."""
    return ["".join(c for c in text if unicodedata.category(c) != "Cn") for text in texts]


def run(*arguments, rows):
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    result = subprocess.run([PROGRAM, "tokenizer", *map(str, arguments), "--jsonl"], input=data, capture_output=True, timeout=900)
    if result.returncode != 0:
        raise AssertionError(result.stderr.decode(errors="replace"))
    return [json.loads(line) for line in result.stdout.decode().split("\n")[:-1]]  # not at U+2028


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pointwork-variants-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def expect_equal(self, name, texts, ours, theirs):
        differing = [row for row in zip(texts, ours, theirs, strict=True) if row[1] != row[2]]
        if differing:
            text, mine, his = differing[0]
            self.fail(f"{name}: {len(differing)} of {len(texts)} texts differ, as {text[:200]!r}: {mine[:60]} is not {his[:60]}")

    def compare(self, name, path, theirs, texts):
        theirs.encode_special_tokens = False
        self.expect_equal(name, texts, run("encode", path, "--bounds", rows=texts), [one.ids for one in theirs.encode_batch(texts)])
        theirs.encode_special_tokens = True
        plain = [one.ids for one in theirs.encode_batch(texts, add_special_tokens=False)]
        self.expect_equal(f"{name}, ordinary", texts, run("encode", path, "--ordinary", rows=texts), plain)
        return plain


class Json(Case):
    def test_ids_of_every_kind(self):
        texts = assigned(tokenizer_cases.texts() + hard_texts(long=False)) + [words(seed, 300) for seed in range(20)]
        for name, make in tokenizer_cases.variants().items():
            with self.subTest(name):
                made = make()
                path = self.folder / f"{name}.json"
                made.save(str(path))
                plain = self.compare(name, path, made, texts)
                rows = [ids for ids in plain if not any(self.is_own(made, i) for i in ids)]
                self.assertGreater(len(rows), 100)
                self.expect_equal(f"{name}, decoded", rows, run("decode", path, rows=rows), [made.decode(ids, skip_special_tokens=False) for ids in rows])
        print(f"{len(tokenizer_cases.variants())} kinds, {len(texts)} texts each")

    def is_own(self, made, i):
        """Normalised added tokens decode here to what they are called, bytes that are no text to themselves."""
        token = made.id_to_token(i)
        added = made.get_added_tokens_decoder().get(i)
        return (added is not None and added.normalized) or token.startswith("<0x")


class T5(Case):
    def test_ids(self):
        from tokenizers import Tokenizer
        path = self.folder / "tokenizer.json"
        path.write_bytes(lzma.decompress((DATA / "t5-tokenizer" / "tokenizer.json.xz").read_bytes()))
        texts = tokenizer_cases.texts() + hard_texts() + corpus_lines()
        self.compare("t5", self.folder, Tokenizer.from_file(str(path)), texts)
        print(f"{len(texts)} texts")


def corpus_lines():
    with lzma.open(DATA / "wikipedia-en" / "wiki.train.txt.xz", "rt", encoding="utf-8") as file:
        return file.read(2_000_000).splitlines()


class SentencePiece(Case):
    def compare_model(self, name, model, texts):
        import sentencepiece
        theirs = sentencepiece.SentencePieceProcessor(model_proto=model)
        path = self.folder / f"{name}.model"
        path.write_bytes(model)
        ids = run("encode", path, "--ordinary", rows=texts)
        expected = [theirs.encode(text) for text in texts]
        self.expect_equal(name, texts, ids, expected)
        decoded = run("decode", path, "--skip-special", rows=expected)
        self.expect_equal(f"{name}, decoded", texts, decoded, [theirs.decode(one) for one in expected])

    def test_tiny_models(self):
        texts = tokenizer_cases.texts() + hard_texts(long=False) + [words(seed, 300) for seed in range(20)]
        for name, model in tokenizer_cases.sentencepieces():
            with self.subTest(name):
                self.compare_model(name, model, texts)

    def test_t5(self):
        path = DATA / "t5-tokenizer" / "spiece.model"
        if not path.exists():
            self.skipTest(f"there is no {path}")
        # Beyond, sums in float32 are so coarse that which of two equal ways wins differs between versions of sentencepiece.
        texts = tokenizer_cases.texts() + [text[:10_000] for text in hard_texts()] + corpus_lines()
        self.compare_model("t5", path.read_bytes(), texts)
        print(f"{len(texts)} texts")


def main():
    global PROGRAM
    parts = {"json": Json, "t5": T5, "sentencepiece": SentencePiece}
    if len(sys.argv) != 3 or sys.argv[2] not in parts:
        print(__doc__, file=sys.stderr)
        return 2
    PROGRAM, part = str(pathlib.Path(sys.argv[1]).resolve()), sys.argv[2]
    oracle_test.use_venv()
    if part == "t5" and not (DATA / "t5-tokenizer" / "tokenizer.json.xz").exists():
        skip(f"there is no t5-tokenizer in {DATA}")
    if part == "sentencepiece":
        try:
            import sentencepiece  # noqa: F401
        except ImportError:
            skip("sentencepiece is not installed (pip install --target DIR sentencepiece; PYTHONPATH=DIR)")
    result = unittest.TextTestRunner(verbosity=2).run(unittest.defaultTestLoader.loadTestsFromTestCase(parts[part]))
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
