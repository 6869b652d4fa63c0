#!/usr/bin/env python3
"""Ids, merges and files against Hugging Face's tokenizers and OpenAI's tiktoken.

usage: oracle_test.py PROGRAM own|gpt2|corpus

own     a tokenizer learnt here: merges, ids and tokenizer.json against `tokenizers`; needs the wheels only
gpt2    GPT-2's tokenizer on hard text; needs gpt2-tokenizer of the data folder besides
corpus  GPT-2's tokenizer on every English text of the data folder: all of it against tiktoken, and against tokenizers as much as
        POINTWORK_ORACLE_MB megabytes of each file (0.2 by default: tokenizers reads 1 or 2 MB a second)

The data folder is $POINTWORK_DATA, else ../shared/data; the wheels are in .venv (scripts/setup.sh --tests). Without them the status is 77: skipped.
"""

import array
import collections
import concurrent.futures
import json
import lzma
import os
import pathlib
import random
import subprocess
import sys
import tarfile
import tempfile
import threading
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("POINTWORK_DATA") or ROOT.parent / "shared" / "data")
SKIPPED = 77
END = "<|endoftext|>"
PROGRAM = ""


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIPPED)


def use_venv():
    """Starts again with the Python of .venv where this one has no wheels."""
    try:
        import tiktoken  # noqa: F401
        import tokenizers  # noqa: F401
    except ImportError as error:
        python = ROOT / ".venv" / "bin" / "python"
        if os.environ.get("POINTWORK_ORACLE_VENV") or not python.exists():
            skip(f"{error.name} is not installed (scripts/setup.sh --tests)")
        os.environ["POINTWORK_ORACLE_VENV"] = "1"
        os.execv(python, [str(python), *sys.argv])


def run(*arguments, data=b""):
    result = subprocess.run([PROGRAM, "tokenizer", *map(str, arguments)], input=data, capture_output=True, timeout=600)
    if result.returncode != 0:
        raise AssertionError(result.stderr.decode(errors="replace"))
    return result.stdout


def ids_of(output):
    return [int(word) for word in output.split()]


def hard_texts(long=True):
    """What tokenizers get wrong. No text holds the end-of-text token, which divides them."""
    draw = random.Random(1)
    texts = ["", " ", "\n", "\t", "\0", "\0\0a\0 \0", "a", "'", "''", "' '", "'s", "'S", " 's", "''s", "I'll've'd'm're't's", "'LL",
             "they’re ’s", "\u180e", " \u180e ", "a\u180eb \u180e\u180e!\u180e 1\u180e1\u180e\n\u180e", "\ufeff", "\ufeffa\ufeff b",
             "e\u0301 e\u0301\u0301\u0301 \u0301", "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!͖̬̰̙̗̿̋ͥͥ̂ͣ̐́́͜͞",
             "👩‍👩‍👧‍👦 👍🏽👍🏿 🇩🇪🇫🇷🇩 🏴󠁧󠁢󠁥󠁮󠁧󠁿 ❤️‍🔥 ☝🏾️", "日本語と中文 한국어 ไทย العربية עברית हिन्दी", "½ ² Ⅷ ① ٣ ৪ 〇", "ﬁ ß İ ı ǅ ª ſ",
             "\u00a0\u00a0a\u00a0 \u2003b\u3000\u3000c\u2028\u2029d\u0085e\u1680f\u205fg\u202fh", "\x1c\x1d\x1e\x1f \x0b\x0c\r\r\n\n\r",
             "\ufffd\ufffe\uffff\U0010ffff\U000f0000\ue000\u200b\u200d\u2060\u00ad", "def f(x):\n\treturn  x  **  2\n\n\n    # end  \n",
             "http://a.b/c?d=e&f#g 3.14e-10 $1,000.00 0x1F a_b__c --flag=\"v\" <tag/> [[x]] \\n \\\\", END[:-1], END[1:], "<|endoftext|", ]
    texts += [" " * n for n in range(2, 70)] + ["a" + " " * n + "b" for n in range(1, 20)] + [" \n" * n + "x" for n in range(1, 6)]
    texts += ["ab"[n % 2] * n for n in range(90, 110)] + ["\n" * n + " " * n + "\t" * n for n in range(1, 12)]
    if long:
        texts += [" " * 1_000_000, "a" * 1_000_000, "".join(draw.choices("abcdefgh", k=1_000_000)), "".join(draw.choices("日本中文語", k=300_000)),
                  "".join(draw.choices("0123456789", k=100_000)), "".join(draw.choices("!?.#=-_", k=100_000)), "\0" * 100_000]
    alphabet = ["'", "'s", "'ll", "s", "a", "É", "中", "0", "٣", " ", " ", "  ", "\n", "\r", "\t", "\u00a0", "\u2003", "\u180e", "\u200d", "!", ".",
                "\u0301", "👍", "🏽", "\0", "\x1f", "\x85", "\ufeff", "\U000e0061"]
    texts += ["".join(draw.choices(alphabet, k=draw.randrange(1, 40))) for _ in range(3000)]
    texts += ["".join(chr(c) for c in (draw.randrange(draw.choice([0x80, 0x800, 0x3000, 0x10000, 0x110000])) for _ in range(20))
                      if not 0xD800 <= c < 0xE000) for _ in range(1000)]
    code_points = [c for c in range(0x20000 if long else 0x3100) if not 0xD800 <= c < 0xE000]
    for at in range(0, len(code_points), 2048):
        texts.append("".join(f"a{chr(c)}a1{chr(c)}1! {chr(c)} " for c in code_points[at:at + 2048]))
    return texts


def words(seed, count):
    """Words of a small language, so that there is something to learn and much repeats."""
    draw = random.Random(seed)
    syllables = ["ba", "na", "th", "e", "an", "ing", "lo", "ss", "é", "aaa", "aa", "x", "re", "st", "中", "文", "👍"]
    known = ["".join(draw.choices(syllables, k=draw.randrange(1, 5))) for _ in range(2000)]
    chosen = draw.choices(known, weights=[1 / (n + 1) for n in range(len(known))], k=count)
    ends = draw.choices([" ", " ", " ", " ", ", ", ".\n", "  ", "'s ", " 19", "\n\n"], k=count)
    return "".join(word + end for word, end in zip(chosen, ends))


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="pointwork-oracle-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def encode_all(self, tokenizer, texts, end):
        """Ours, in one run: the end of a text is a special token."""
        ids = ids_of(run("encode", tokenizer, data=END.join(texts).encode()))
        rows, row = [], []
        for i in ids:
            if i == end:
                rows.append(row)
                row = []
            else:
                row.append(i)
        rows.append(row)
        self.assertEqual(len(rows), len(texts))
        return rows

    def expect_equal(self, texts, ours, theirs, name):
        for text, mine, his in zip(texts, ours, theirs, strict=True):
            if mine != his:
                self.fail(f"ids differ from {name}'s on {text[:200]!r}: {mine[:60]} is not {his[:60]}")


class Own(Case):
    """A tokenizer learnt here and one learnt there are the same, and each can read the other's file."""

    def learn(self, text, size):
        (self.folder / "text.txt").write_text(text, encoding="utf-8", newline="")
        run("train", self.folder / "text.txt", "--vocab-size", size, "--out", self.folder / "ours", "--quiet", "--force")
        return self.folder / "ours" / "tokenizer.json"

    def learn_there(self, text, size):
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
        theirs = Tokenizer(models.BPE())
        theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        theirs.decoder = decoders.ByteLevel()
        theirs.train_from_iterator([text], trainers.BpeTrainer(
            vocab_size=size, special_tokens=[END], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
        return theirs

    def test_merges_are_those_of_tokenizers(self):
        text = words(1, 60_000) + "".join(hard_texts(long=False)[:200]).replace("\0", "")
        for size in (257, 2000, 20_000):  # the last is more than there is to learn
            ours = json.loads(self.learn(text, size).read_text())["model"]
            theirs = json.loads(self.learn_there(text, size).to_str())["model"]
            self.assertEqual(len(ours["vocab"]), len(theirs["vocab"]))
            self.assertEqual(ours["merges"], [" ".join(merge) for merge in theirs["merges"]])
        self.assertLess(len(ours["vocab"]), 20_000)

    def test_tokenizers_reads_ours(self):
        from tokenizers import Tokenizer
        path = self.learn(words(2, 60_000), 2000)
        theirs = Tokenizer.from_file(str(path))
        self.assertEqual(theirs.get_vocab_size(), 2000)
        self.assertEqual(theirs.token_to_id(END), 1999)
        texts = [*hard_texts(long=False), *(words(seed, 300) for seed in range(50)), END, f"a{END}{END} b"]
        ours = self.encode_all(path, texts[:-2], 1999)
        self.expect_equal(texts, ours + [ids_of(run("encode", path, data=text.encode())) for text in texts[-2:]],
                          [one.ids for one in theirs.encode_batch(texts)], "tokenizers")

    def test_decoding_is_that_of_tokenizers(self):
        from tokenizers import Tokenizer
        path = self.learn(words(2, 20_000), 1000)
        theirs = Tokenizer.from_file(str(path))
        draw = random.Random(3)
        for length in (1, 2, 10, 50_000):  # bytes in any order: mostly not UTF-8
            ids = [draw.randrange(1000) for _ in range(length)]
            ours = run("decode", path, data=" ".join(map(str, ids)).encode())
            self.assertEqual(ours.decode(errors="replace"), theirs.decode(ids, skip_special_tokens=False))
            ours = run("decode", path, "--skip-special", data=" ".join(map(str, ids)).encode())
            self.assertEqual(ours.decode(errors="replace"), theirs.decode(ids, skip_special_tokens=True))

    def test_theirs_is_read_here(self):
        theirs = self.learn_there(words(4, 60_000), 2000)
        theirs.add_tokens(["  ", "ba na"])  # found in text, not special
        path = self.folder / "theirs.json"
        texts = hard_texts(long=False) + [words(5, 3000)]
        for pretty in (True, False):
            theirs.save(str(path), pretty=pretty)
            ours = self.encode_all(path, texts, theirs.token_to_id(END))
            self.expect_equal(texts, ours, [one.ids for one in theirs.encode_batch(texts)], "tokenizers")
        self.assertEqual(json.loads(run("info", path, "--json"))["special_tokens"], {END: 0})

    def test_a_file_that_went_both_ways_means_the_same(self):
        from tokenizers import Tokenizer
        path = self.learn(words(6, 20_000), 1000)
        again = self.folder / "again.json"
        Tokenizer.from_file(str(path)).save(str(again))
        self.assertEqual(run("info", again, "--json"), run("info", path, "--json"))


class Gpt2(Case):
    def setUp(self):
        super().setUp()
        self.path = self.folder / "gpt2.json"
        self.path.write_bytes(lzma.decompress((DATA / "gpt2-tokenizer" / "tokenizer.json.xz").read_bytes()))

    def tiktoken(self):
        import tiktoken
        from tiktoken.load import data_gym_to_mergeable_bpe_ranks
        from tiktoken_ext.openai_public import r50k_pat_str
        folder = DATA / "gpt2-tokenizer"
        ranks = data_gym_to_mergeable_bpe_ranks(str(folder / "vocab.bpe"), str(folder / "encoder.json"))
        return tiktoken.Encoding("gpt2", pat_str=r50k_pat_str, mergeable_ranks=ranks, special_tokens={END: 50256})

    def tokenizers(self):
        from tokenizers import Tokenizer
        return Tokenizer.from_file(str(self.path))


class Hard(Gpt2):
    def test_ids_on_hard_text(self):
        texts = hard_texts()
        ours = self.encode_all(self.path, texts, 50256)
        self.expect_equal(texts, ours, self.tiktoken().encode_ordinary_batch(texts, num_threads=2), "tiktoken")
        self.expect_equal(texts, ours, [one.ids for one in self.tokenizers().encode_batch(texts)], "tokenizers")

    def test_special_tokens_and_their_spelling(self):
        tiktoken, tokenizers = self.tiktoken(), self.tokenizers()
        for text in (END, f"a{END}", f"{END}{END} a {END[:-1]}{END}>", "<|end<|endoftext|>oftext|>"):
            ours = ids_of(run("encode", self.path, data=text.encode()))
            self.assertEqual(ours, tiktoken.encode(text, allowed_special="all"))
            self.assertEqual(ours, tokenizers.encode(text).ids)
            ours = ids_of(run("encode", self.path, "--ordinary", data=text.encode()))
            self.assertEqual(ours, tiktoken.encode_ordinary(text))

    def test_bytes_of_every_id(self):
        tiktoken = self.tiktoken()
        ids = list(range(50257))
        random.Random(5).shuffle(ids)
        self.assertEqual(run("decode", self.path, data=" ".join(map(str, ids)).encode()), tiktoken.decode_bytes(ids))

    def test_what_is_no_utf8_is_kept(self):
        draw = random.Random(6)
        data = draw.randbytes(300_000)
        ids = ids_of(run("encode", self.path, data=data))
        self.assertEqual(self.tiktoken().decode_bytes(ids), data)


class Corpus(Gpt2):
    CHUNK = 8 << 20  # bytes that are encoded at a time

    def texts(self):
        """(name, bytes) of every English text, in stretches of at most CHUNK bytes; of JSON lines the values."""
        for path in sorted(DATA.rglob("*")):
            name = path.relative_to(DATA)
            if not path.is_file() or name.parts[0] in ("gpt2-tokenizer", "t5-tokenizer") or ".bin" in path.suffixes:
                continue
            if name.suffixes[-2:] == [".tar", ".xz"]:
                with tarfile.open(path) as archive:
                    for member in archive:
                        if member.isfile():
                            yield from self.stretches(f"{name}:{member.name}", archive.extractfile(member))
            elif path.suffix == ".xz":
                with lzma.open(path) as file:
                    yield from self.stretches(str(name), file)
            else:
                with open(path, "rb") as file:
                    yield from self.stretches(str(name), file)

    def stretches(self, name, file):
        rest = b""
        while data := file.read(self.CHUNK):
            data = rest + data
            end = data.rfind(b"\n") + 1 or len(data)
            rest = data[end:]
            yield name, self.plain(name, data[:end])
        if rest:
            yield name, self.plain(name, rest)

    def plain(self, name, data):
        text = data.decode(errors="replace")
        if ".jsonl" not in name:
            return text
        values = []
        for line in text.splitlines():
            row = json.loads(line)
            values += [str(value) for value in (row.values() if isinstance(row, dict) else [row])]
        return "\n".join(values)

    def batches(self):
        """Small texts together, so that the program starts once for many."""
        batch, size = [], 0
        for name, text in self.texts():
            batch.append((name, text))
            size += len(text)
            if size >= self.CHUNK // 2:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def test_ids_that_nanogpt_shipped(self):
        folder = DATA / "openwebtext-sample"
        shipped = array.array("H", lzma.decompress((folder / "val.bin.xz").read_bytes()))
        with lzma.open(folder / "openwebtext-1000.jsonl.xz", "rt", encoding="utf-8") as file:
            text = "".join(json.loads(line)["text"] + END for line in file)
        self.assertEqual(ids_of(run("encode", self.path, data=text.encode())), shipped.tolist())

    def test_ids_on_every_english_text(self):
        tiktoken, tokenizers = self.tiktoken(), self.tokenizers()
        tokenizers.encode_special_tokens = True
        spelt = [str(i) for i in range(50257)]
        share = int(float(os.environ.get("POINTWORK_ORACLE_MB", "0.2")) * 1e6)
        left = collections.defaultdict(lambda: share)  # of each file, for tokenizers
        done = collections.Counter()

        def compare(batch):
            text, sample = "".join(text for _, text in batch), ""
            with lock:
                for name, one in batch:
                    file = name.split(":")[0]
                    sample += one[:left[file]]
                    left[file] -= min(left[file], len(one))
            ours = run("encode", self.path, "--ordinary", data=text.encode())
            theirs = tiktoken.encode_ordinary(text)
            if ours != " ".join(map(spelt.__getitem__, theirs)).encode() + b"\n":
                at = next(i for i, (a, b) in enumerate(zip(ids_of(ours) + [-1], theirs + [-1])) if a != b)
                self.fail(f"ids differ from tiktoken's in {batch[0][0]} and what follows, after "
                          f"{tiktoken.decode(theirs[max(0, at - 9):at])!r}")
            if sample:
                if sample != text:
                    ours = run("encode", self.path, "--ordinary", data=sample.encode())
                self.expect_equal([sample], [ids_of(ours)], [tokenizers.encode(sample).ids], "tokenizers")
            with lock:
                done.update(ids=len(theirs), bytes=len(text.encode()), bytes_to_tokenizers=len(sample.encode()))

        lock = threading.Lock()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            waiting = collections.deque()
            for batch in self.batches():
                waiting.append(pool.submit(compare, batch))
                if len(waiting) > 3:
                    waiting.popleft().result()
            for one in waiting:
                one.result()
        print(f"{len(left)} files: {dict(done)}")
        self.assertGreater(done["bytes"], 1_000_000)


def main():
    global PROGRAM
    parts = {"own": Own, "gpt2": Hard, "corpus": Corpus}
    if len(sys.argv) != 3 or sys.argv[2] not in parts:
        print(__doc__, file=sys.stderr)
        return 2
    PROGRAM, part = str(pathlib.Path(sys.argv[1]).resolve()), sys.argv[2]
    use_venv()
    if part != "own" and not (DATA / "gpt2-tokenizer" / "tokenizer.json.xz").exists():
        skip(f"there is no gpt2-tokenizer in {DATA}")
    result = unittest.TextTestRunner(verbosity=2).run(unittest.defaultTestLoader.loadTestsFromTestCase(parts[part]))
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
