#!/usr/bin/env python3
"""Makes tests/golden/tokenizers: tiny tokenizers of every kind that is read here, hard texts, and the ids that their own libraries give them.

usage: .venv/bin/python tools/tokenizer_cases.py [OUT]

Needs `tokenizers` (scripts/setup.sh --tests) and, for the .model files, `sentencepiece` (any version since 0.1.99; what is there is kept without it).
tests/text/oracle_test.py builds the same tokenizers and compares on many more texts.
"""

import io
import json
import pathlib
import random
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "tests" / "golden" / "tokenizers"

GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK = ["[\r\n]", r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ϿЀ-ԯԱ-Ֆ]+", r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", "[一-龥ࠀ-一가-퟿]+"]

LINES = """The quick brown fox jumps over the lazy dog; it's 1234567 times faster than you'd think, isn't it?
def encode(text):\n\treturn [ids[c] for c in text]  # 3.14 and 2,718 and 0x1F
Straße, naïve café, Ωmega, приве́т мир, 日本語のテキスト, 中文字符, 한국어 텍스트, हिन्दी पाठ
I'll we've they're SHE'S DON'T  double  spaces   triple\t\ttabs\n\n\nlines and trailing   
the cat sat on the mat and the other cat sat on the other mat, then they ran away together
low lower lowest new newer newest wide wider widest 2001 2002 2003 11 22 33 100 1000""".split("\n")


def texts():
    """Hard texts, few enough to be kept."""
    draw = random.Random(7)
    found = ["", " ", "  ", "\n", " \n ", "a", " a", "a ", "  a  b  ", "the cat", " the cat ", "it's IT'S 'S 's we'LL", "1234567 12 3", "a1b22c333",
             "\t\ttabs\r\n\r\nlines\n\n x", "naïve cafe\u0301 \u1e9b\u0323 ﬁ ① ½ ²", "Ｆｕｌｌ　ｗｉｄｔｈ", "日本語 中文 한국어 हिन्दी", "👍🏽 👨‍👩‍👧 🇩🇪", "\u00a0x\u2003y\u3000z\u180ew\u200bv",
             "İstanbul ΣΊΣΥΦΟΣ ǅ ß", "e\u0301\u0301 \u0301", "▁ a▁b ▁▁c", "<s>a</s> <s>", "<unk><pad>x", "<0x0A><0x41>", "<|end|>a<|end|> <|END|>b", "foo foobar foo. barfoo FOO",
             "x<mask> y <mask>  z", "a <l>b", "a<r> b", "!?...,;:-- (x) [y] {z}", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "a-b-c--d---e", "-a-", "--", "\ufeffa\0b",
             "the catthe cat", "Hello\u2028World\u0085!", "\U00020000\U0001d7d8 \U000e0061"]
    alphabet = ["'", "'s", "'LL", "s", "a", "the", "É", "中", "0", "٣", "123", " ", " ", "  ", "\n", "\r", "\t", "\u00a0", "\u2003", "!", ".", "-", "\u0301", "👍", "▁", "foo", "<l>",
                "<r>", "<mask>", "<|end|>", "</s>", "ﬁ", "Ⅷ", "\u0338", "가", "ᄀ", "ᅡ"]
    return found + ["".join(draw.choices(alphabet, k=draw.randrange(2, 24))) for _ in range(14)]


def byte_level(split, *, size=330, normalizer=None, alphabet=True, unk=None, ignore_merges=False, fuse_unk=False, decoder=True):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    made = Tokenizer(models.BPE(unk_token=unk, fuse_unk=fuse_unk, ignore_merges=ignore_merges))
    made.pre_tokenizer = split
    made.decoder = decoders.ByteLevel()
    if normalizer is not None:
        made.normalizer = normalizer
    made.train_from_iterator(LINES * 2, trainers.BpeTrainer(
        vocab_size=size, special_tokens=([unk] if unk else []) + ["<|end|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if alphabet else []))
    return made


def characters(*, split=None, normalizer=None, decoder=None, byte_fallback=False, fuse_unk=False, unk="<unk>", size=160, limit=90):
    """BPE of characters, some of which are unknown."""
    from tokenizers import Tokenizer, decoders, models, trainers
    made = Tokenizer(models.BPE(unk_token=unk, fuse_unk=fuse_unk, byte_fallback=byte_fallback))
    if split is not None:
        made.pre_tokenizer = split
    if normalizer is not None:
        made.normalizer = normalizer
    made.decoder = decoder or decoders.Fuse()
    special = ([unk] if unk else []) + ["<s>", "</s>"]
    if byte_fallback:
        special += [f"<0x{byte:02X}>" for byte in range(256)]
    made.train_from_iterator(LINES[:5], trainers.BpeTrainer(vocab_size=size + (256 if byte_fallback else 0), special_tokens=special, limit_alphabet=limit, show_progress=False))
    if byte_fallback:  # the bytes are no special tokens
        data = json.loads(made.to_str())
        data["added_tokens"] = [token for token in data["added_tokens"] if not token["content"].startswith("<0x")]
        made = Tokenizer.from_str(json.dumps(data))
    return made


def unigram(*, split=None, normalizer=None, byte_fallback=False):
    from tokenizers import Tokenizer, decoders, models, trainers
    made = Tokenizer(models.Unigram())
    if split is not None:
        made.pre_tokenizer = split
    if normalizer is not None:
        made.normalizer = normalizer
    made.train_from_iterator(LINES * 3, trainers.UnigramTrainer(vocab_size=200, special_tokens=["<pad>", "<unk>", "</s>"], unk_token="<unk>", show_progress=False))
    data = json.loads(made.to_str())
    data["decoder"] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    if byte_fallback:
        data["model"]["vocab"] += [[f"<0x{byte:02X}>", -30.0] for byte in range(256)]
        data["model"]["byte_fallback"] = True
        data["decoder"] = json.loads(llama_decoder().__getstate__())
    return Tokenizer.from_str(json.dumps(data))


def llama_decoder():
    from tokenizers import decoders
    return decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])


def with_added(made, tokens):
    from tokenizers import AddedToken
    for content, options, special in tokens:
        (made.add_special_tokens if special else made.add_tokens)([AddedToken(content, **options)])
    return made


def added_tokens(made):
    return with_added(made, [("<mask>", {"lstrip": True}, True), ("<r>", {"rstrip": True}, True), ("<l>", {"lstrip": True, "rstrip": True}, False),
                             ("foo", {"single_word": True}, False), ("The Cat", {"normalized": True}, False), ("12", {"normalized": False}, False)])


def variants():
    """name: a function that makes the tokenizer."""
    from tokenizers import Regex, normalizers as n, pre_tokenizers as p, processors
    bytes_only = p.ByteLevel(add_prefix_space=False, use_regex=False)

    def split(pattern, behavior="isolated", invert=False):
        return p.Split(Regex(pattern), behavior, invert)

    def llama3():
        made = byte_level(p.Sequence([split(LLAMA3), bytes_only]), ignore_merges=True)
        made.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
            single="<|end|> $A", pair="<|end|> $A <|end|> $B:1", special_tokens=[("<|end|>", made.token_to_id("<|end|>"))])])
        return made

    def t5():
        made = unigram(split=p.Sequence([p.WhitespaceSplit(), p.Metaspace()]))
        made.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", made.token_to_id("</s>"))])
        return made

    found = {
        "llama3": llama3,
        "qwen2": lambda: added_tokens(byte_level(p.Sequence([split(QWEN2), bytes_only]), normalizer=n.NFC())),
        "smollm": lambda: byte_level(p.Sequence([p.Digits(individual_digits=True), p.ByteLevel(add_prefix_space=False)])),
        "o200k": lambda: byte_level(p.Sequence([split(O200K, "removed", True), bytes_only])),
        "deepseek": lambda: byte_level(p.Sequence([*(split(one) for one in DEEPSEEK), p.Digits(individual_digits=True), bytes_only])),
        "falcon": lambda: byte_level(p.Sequence([p.Punctuation("contiguous"), p.ByteLevel(add_prefix_space=False), p.Digits(), split("[0-9][0-9][0-9]")])),
        "prefixed": lambda: byte_level(p.ByteLevel(add_prefix_space=True)),
        "gpt2_split": lambda: byte_level(p.Sequence([split(GPT2), bytes_only])),
        "unknown_bytes": lambda: byte_level(p.ByteLevel(add_prefix_space=False), alphabet=False, unk="<unk>", size=120),
        "fused_bytes": lambda: byte_level(p.ByteLevel(add_prefix_space=False), alphabet=False, unk="<unk>", fuse_unk=True, size=120),
        "llama2": lambda: added_tokens(characters(normalizer=n.Sequence([n.Prepend("▁"), n.Replace(" ", "▁")]), decoder=llama_decoder(), byte_fallback=True, fuse_unk=True)),
        "llama2_first": lambda: characters(split=p.Metaspace(prepend_scheme="first", split=False), decoder=llama_decoder(), byte_fallback=True, fuse_unk=True),
        "unk": lambda: characters(split=p.Whitespace()),
        "fused_unk": lambda: characters(split=p.Metaspace(prepend_scheme="never"), fuse_unk=True, limit=30, size=80),
        "no_unk": lambda: characters(split=p.WhitespaceSplit(), unk=None, limit=30, size=80),
        "lowercase": lambda: added_tokens(characters(normalizer=n.Sequence([n.Strip(), n.NFD(), n.Lowercase(), n.Replace(Regex(r"\s+"), " ")]))),
        "nfkc": lambda: characters(normalizer=n.NFKC(), split=p.Metaspace()),
        "nfkd": lambda: characters(normalizer=n.Sequence([n.Strip(left=False), n.NFKD(), n.Replace("a", "")]), split=p.Punctuation("removed")),
        "t5": t5,
        "unigram_bytes": lambda: unigram(byte_fallback=True, normalizer=n.Sequence([n.Prepend("▁"), n.Replace(" ", "▁")])),
    }
    for behavior in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"):
        for invert in (False, True):
            name = f"split_{behavior}{'_inverted' if invert else ''}"
            pattern = Regex(r"-+|\s|[0-9]{2}|(?=th)|\bx\b|[^\S\n]\w") if behavior != "isolated" else "-"
            found[name] = lambda pattern=pattern, behavior=behavior, invert=invert: characters(split=p.Split(pattern, behavior, invert), size=110, limit=60)
    return found


def compact(made):
    return json.dumps(json.loads(made.to_str()), ensure_ascii=False, separators=(",", ":"))


def sentencepieces():
    """name: the bytes of a .model."""
    import sentencepiece
    rules = {"ﬁ": "fi", "①": "1", "\u3000": " ", "\t": " ", "e\u0301": "é", "e\u0301\u0301": "E", "\u00a0": " ", "\u200b": "", "½": " 1⁄2", "Ａ": "A"}
    tsv = ROOT / "build" / "rules.tsv"
    tsv.parent.mkdir(exist_ok=True)
    tsv.write_text("".join(f"{' '.join(f'{ord(c):X}' for c in a)}\t{' '.join(f'{ord(c):X}' for c in b)}\n" for a, b in rules.items()))
    common = dict(minloglevel=2, num_threads=1, hard_vocab_limit=False, normalization_rule_tsv=str(tsv))
    kinds = {
        "unigram": dict(model_type="unigram", vocab_size=200, user_defined_symbols=["<mask>", "foo"], control_symbols=["<|end|>"]),
        "unigram_bytes": dict(model_type="unigram", vocab_size=420, byte_fallback=True),
        "bpe": dict(model_type="bpe", vocab_size=200, user_defined_symbols=["<mask>", "foo", "12"], control_symbols=["<|end|>"]),
        "bpe_llama": dict(model_type="bpe", vocab_size=420, byte_fallback=True, normalization_rule_name="identity", normalization_rule_tsv="", remove_extra_whitespaces=False,
                          split_digits=True, unk_surface="<?>"),
        "bpe_no_prefix": dict(model_type="bpe", vocab_size=200, add_dummy_prefix=False, remove_extra_whitespaces=False, allow_whitespace_only_pieces=True),
        "unigram_across": dict(model_type="unigram", vocab_size=200, split_by_whitespace=False, remove_extra_whitespaces=False),
    }
    for name, options in kinds.items():
        out = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(LINES * 3), model_writer=out, **{**common, **options})
        yield name, out.getvalue()
    tsv.unlink()


def cases_of(hard, ids, ordinary, decoded):
    """What differs from what stands before is kept: ids; without bounds and special tokens; the text that these decode to."""
    return {"ids": ids, "ordinary": [None if a == b else a for a, b in zip(ordinary, ids)],
            "decoded": [None if a == b else a for a, b in zip(decoded, hard)]}


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    out.mkdir(parents=True, exist_ok=True)
    hard = texts()
    (out / "texts.json").write_text(json.dumps(hard, ensure_ascii=True, indent=0) + "\n")
    for name, make in variants().items():
        made = make()
        (out / f"{name}.json").write_text(compact(made) + "\n", encoding="utf-8")
        ids = [made.encode(text).ids for text in hard]
        made.encode_special_tokens = True
        ordinary = [made.encode(text, add_special_tokens=False).ids for text in hard]
        cases = cases_of(hard, ids, ordinary, [made.decode(one, skip_special_tokens=False) for one in ordinary])
        (out / f"{name}.cases.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")
    try:
        import sentencepiece
    except ImportError:
        print("sentencepiece is not there: the .model files are left as they are")
        return
    for name, model in sentencepieces():
        (out / f"{name}.model").write_bytes(model)
        made = sentencepiece.SentencePieceProcessor(model_proto=model)
        ids = [made.encode(text) for text in hard]
        cases = cases_of(hard, ids, ids, [made.decode(one) for one in ids])
        (out / f"{name}.model.cases.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
