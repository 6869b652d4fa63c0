#!/usr/bin/env python3
"""A pretrained model, SmolLM2-135M-Instruct, here and in transformers: the same tokens, the same text, the same perplexity.

usage: experiments/smollm2.py [--out FOLDER] [--threads N] [--sequences N] [--text FILE]

Needs scripts/setup.sh --oracles --smollm2. Makes the checkpoint where it is not there yet (tools/gguf_to_huggingface.py), then compares on the same float32
weights: the ids of a whole file of WikiText-2, 20 continuations by the most likely token, the perplexity of the file's first sequences. Status 1 where
ids or continuations differ, or perplexities in the fourth digit. Prints Markdown. Four minutes on two cores, with 64 sequences.
"""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
LENGTH, NEW_TOKENS = 512, 40
PROMPTS = """The capital of France is
Once upon a time, in a small village by the sea,
Water boils at a temperature of
def fibonacci(n):
The three primary colours are
In 1969, the first human beings
My favourite recipe for pancakes begins with
The quick brown fox
According to the theory of evolution,
A good way to learn a new language is
The largest planet in the solar system
Dear Sir or Madam,
If all cats are animals and some animals are black, then
The stock market fell sharply on Monday because
2 + 2 = 4, 3 + 3 = 6, 4 + 4 =
She opened the old wooden box and found
Photosynthesis is the process by which
The opposite of hot is cold, the opposite of big is
<|im_start|>user Why is the sky blue?<|im_end|> <|im_start|>assistant
To be, or not to be, that is""".split("\n")


def arguments():
    data = os.environ.get("POINTWORK_DATA", str(ROOT / ".." / "shared" / "data"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "build" / "release" / "pointwork"))
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "runs" / "smollm2", help="checkpoint and data set; what is there is used")
    parser.add_argument("--text", type=pathlib.Path, default=pathlib.Path(data) / "wikitext-2" / "wiki.test.tokens")
    parser.add_argument("--sequences", type=int, default=64, help=f"of {LENGTH} tokens, whose perplexity is measured; 0: all")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    return parser.parse_args()


class Here:
    def __init__(self, options, model):
        self.options, self.model = options, model

    def run(self, *words, **more):
        command = [self.options.program, *map(str, words)]
        result = subprocess.run(command, stdout=subprocess.PIPE, **more)
        if result.returncode != 0:
            sys.exit(f"error: {' '.join(command)} ended with status {result.returncode}")
        return result.stdout

    def ids(self, text):
        return np.array(self.run("tokenizer", "encode", self.model, "--ordinary", input=text.encode()).split(), dtype=np.int64)

    def continuations(self):
        prompts = self.options.out / "prompts.txt"
        prompts.write_text("\n".join(PROMPTS) + "\n")
        lines = self.run("sample", self.model, "--prompts", prompts, "--temperature", 0, "--max-new-tokens", NEW_TOKENS, "--threads", self.options.threads, "--json")
        found = json.loads(lines)
        return [one["tokens"] for one in (found if isinstance(found, list) else found["samples"])]

    def perplexity(self, data):
        found = json.loads(self.run("eval", self.model, "--data", data, "--split", "train", "--length", LENGTH, "--sequences", self.options.sequences, "--batch", 4,
                                    "--threads", self.options.threads, "--quiet", "--json"))
        return found["perplexity"], found["tokens"]


class There:
    def __init__(self, options, model):
        import torch
        import transformers
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        torch.set_num_threads(options.threads)
        self.torch, self.version = torch, transformers.__version__
        self.model = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(model)

    def ids(self, text):
        return np.array(self.tokenizer.backend_tokenizer.encode(text).ids)

    def continuations(self):
        found = []
        for prompt in PROMPTS:
            ids = self.torch.tensor([self.tokenizer.encode(prompt)])
            out = self.model.generate(ids, attention_mask=self.torch.ones_like(ids), max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=None, pad_token_id=0)
            found.append(out[0, ids.shape[1]:].tolist())
        return found

    def perplexity(self, tokens, sequences):
        """Of windows that overlap by the one token that is only a target in the first."""
        total = count = 0
        with self.torch.no_grad():
            for first in range(0, len(tokens) - 1, LENGTH):
                if sequences and first >= sequences * LENGTH:
                    break
                window = self.torch.from_numpy(tokens[first:first + LENGTH + 1])
                logits = self.model(window[None, :-1], use_cache=False).logits[0]
                total += self.torch.nn.functional.cross_entropy(logits, window[1:], reduction="sum").double().item()
                count += len(window) - 1
        return float(np.exp(total / count)), count


def tokens_of(data):
    """All that `prepare` wrote: 64 bytes of header with the number of bytes a token and of tokens, then these."""
    parts = []
    for path in sorted(data.glob("train-*.tokens")):
        content = path.read_bytes()
        width, count = int.from_bytes(content[12:16], "little"), int.from_bytes(content[16:24], "little")
        parts.append(np.frombuffer(content, dtype=f"<u{width}", count=count, offset=64))
    return np.concatenate(parts).astype(np.int64)


def until_end(tokens, ends):
    """Ours stop before a token that ends a text, theirs go on."""
    return tokens[:next((at for at, token in enumerate(tokens) if token in ends), len(tokens))]


def main():
    options = arguments()
    model, data = options.out / "model", options.out / "wikitext-2"
    options.out.mkdir(parents=True, exist_ok=True)
    if not model.exists():
        subprocess.run([sys.executable, ROOT / "tools" / "gguf_to_huggingface.py", model], check=True)
    here = Here(options, model)
    if not (data / "dataset.json").exists():
        here.run("prepare", options.text, "--format", "text", "--tokenizer", model, "--validation", 0, "--out", data, "--quiet")
    there = There(options, model)

    text = options.text.read_text(encoding="utf-8")
    ids = here.ids(text), there.ids(text)
    same_ids = np.array_equal(*ids)
    texts = here.continuations(), there.continuations()
    ends = json.loads((model / "generation_config.json").read_text())["eos_token_id"]
    texts = texts[0], [until_end(one, {ends} if isinstance(ends, int) else set(ends)) for one in texts[1]]
    same = [ours == theirs for ours, theirs in zip(*texts)]
    ours, count = here.perplexity(data)
    theirs, their_count = there.perplexity(tokens_of(data), options.sequences)
    close = count == their_count and f"{ours:.4g}" == f"{theirs:.4g}"

    print(f"transformers {there.version}, {platform.processor() or platform.machine()}, {options.threads} threads, float32\n")
    print("| what | here | transformers | |\n|---|---|---|---|")
    print(f"| ids of {options.text.name} | {len(ids[0])} | {len(ids[1])} | {'equal' if same_ids else 'DIFFERENT'} |")
    print(f"| {len(PROMPTS)} prompts, up to {NEW_TOKENS} tokens each | {sum(map(len, texts[0]))} | {sum(map(len, texts[1]))} | {sum(same)} equal |")
    print(f"| perplexity of {count} tokens | {ours:.6g} | {theirs:.6g} | {'equal' if close else 'DIFFERENT'} to 4 digits |\n")
    for prompt, one, equal in zip(PROMPTS, texts[0], same):
        shown = there.tokenizer.decode(one).replace("\n", "⏎")
        print(f"- {prompt} *{shown}*{'' if equal else ' (DIFFERENT)'}")
    return 0 if same_ids and all(same) and close else 1


if __name__ == "__main__":
    sys.exit(main())
