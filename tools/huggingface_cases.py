#!/usr/bin/env python3
"""Makes tests/golden/huggingface: tiny random models of every class that is read here, in Hugging Face's layout, and what `transformers` computes with them.

usage: .venv/bin/python tools/huggingface_cases.py [OUT] [--seed N] [--check] [--only CASE...]

  OUT      where the folders go; without it, and without --check, tests/golden/huggingface
  --seed   other random models of the same classes (0 makes the golden ones)
  --check  make them in a temporary folder and compare with OUT: weights, ids and settings exactly, what was computed to float64's precision

Needs transformers 5 (scripts/setup.sh --oracles). A case is a folder as `save_pretrained` writes it, with `expected.safetensors` beside the model:
  ids [B, S], logits [B, S, V] of them, loss: the mean next-token cross-entropy, gradient.NAME: of that loss, by the name of the tensor in the folder,
  prompt [P] and greedy [N]: what follows it, each token the highest logit.

transformers computes norms, rotations, softmax and routing in float32 whatever the model's dtype. Here every float32 it asks for is a float64, so that the
expected values are good to float64's precision; weights are float32, exactly. No choice is close: the two highest logits of a greedy step, and the last
expert taken and the first left, are at least MARGIN apart, and greedy text has
at least VARIETY different tokens, or the case is drawn again.
"""

import argparse
import json
import os
import pathlib
import shutil
import sys
import tempfile

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.overrides import TorchFunctionMode

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "tests" / "golden" / "huggingface"
BATCH, LENGTH, PROMPT, GREEDY, VARIETY = 2, 13, 5, 12, 4
MARGIN = 3e-4  # a hundred times what float32 loses in models of these sizes

COMMON = dict(vocab_size=41, hidden_size=18, num_hidden_layers=2, num_attention_heads=3, max_position_embeddings=48, intermediate_size=23, bos_token_id=None, eos_token_id=None)
GPT2 = dict(vocab_size=41, n_embd=21, n_layer=2, n_head=3, n_positions=29, layer_norm_epsilon=3e-4, bos_token_id=None, eos_token_id=None)
LLAMA = dict(COMMON, rms_norm_eps=2e-4)
GROUPED = dict(LLAMA, num_attention_heads=6, num_key_value_heads=2, head_dim=8, tie_word_embeddings=False)
NEOX = dict(COMMON, hidden_size=30, layer_norm_eps=3e-4)
EXPERTS = dict(COMMON, hidden_size=16, num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=2e-4, num_experts_per_tok=2)
QWEN2_MOE = dict(EXPERTS, num_experts=5, moe_intermediate_size=9, shared_expert_intermediate_size=11)


def rope(kind="default", theta=10000.0, **more):
    return {"rope_parameters": {"rope_type": kind, "rope_theta": theta, **more}}


# name: model_type, settings, tensors whose gradient is kept.
Q, DOWN = "model.layers.0.self_attn.q_proj.weight", "model.layers.1.mlp.down_proj.weight"
CASES = {
    "gpt2": ("gpt2", GPT2, ["transformer.h.0.attn.c_attn.weight", "transformer.wte.weight"]),
    "gpt2_inner": ("gpt2", dict(GPT2, n_inner=27, activation_function="gelu", tie_word_embeddings=False), ["transformer.h.1.mlp.c_fc.bias", "lm_head.weight"]),
    "gpt2_original": ("gpt2", dict(GPT2, activation_function="relu"), ["h.0.attn.c_proj.weight"]),
    "llama": ("llama", dict(LLAMA, tie_word_embeddings=False), [Q, DOWN]),
    "llama_tied": ("llama", dict(LLAMA, tie_word_embeddings=True), ["model.embed_tokens.weight"]),
    "llama_grouped": ("llama", GROUPED, ["model.layers.1.self_attn.k_proj.weight", "lm_head.weight"]),
    "llama_biases": ("llama", dict(LLAMA, attention_bias=True, mlp_bias=True), ["model.layers.0.self_attn.o_proj.bias", "model.layers.1.mlp.gate_proj.bias"]),
    "llama_linear": ("llama", dict(GROUPED, **rope("linear", factor=2.5)), [Q]),
    "llama_llama3": ("llama", dict(GROUPED, **rope("llama3", 500.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)), [Q]),
    "llama_sharded": ("llama", GROUPED, [DOWN]),
    "llama_older": ("llama", dict(GROUPED, **rope("linear", 5000.0, factor=4.0)), ["model.norm.weight"]),
    "mistral": ("mistral", dict(GROUPED, sliding_window=None), [Q, "model.layers.0.input_layernorm.weight"]),
    "qwen2": ("qwen2", dict(LLAMA, num_attention_heads=9, num_key_value_heads=3, tie_word_embeddings=True), ["model.layers.0.self_attn.k_proj.bias", "model.embed_tokens.weight"]),
    "qwen3": ("qwen3", dict(GROUPED, **rope(theta=1000.0)), ["model.layers.0.self_attn.q_norm.weight", Q]),
    "gpt_neox_parallel": ("gpt_neox", dict(NEOX, use_parallel_residual=True, **rope(partial_rotary_factor=0.4)), ["gpt_neox.layers.0.attention.query_key_value.weight"]),
    "gpt_neox_sequential": ("gpt_neox", dict(NEOX, use_parallel_residual=False, hidden_act="gelu_new", **rope(partial_rotary_factor=0.25)),
                            ["gpt_neox.layers.1.attention.query_key_value.bias", "embed_out.weight"]),
    "mixtral": ("mixtral", dict(EXPERTS, num_local_experts=5, intermediate_size=11), ["model.layers.0.block_sparse_moe.gate.weight", "model.layers.1.block_sparse_moe.experts.3.w2.weight"]),
    "mixtral_stacked": ("mixtral", dict(EXPERTS, num_local_experts=5, intermediate_size=11, head_dim=6, num_experts_per_tok=3), ["model.layers.1.mlp.experts.gate_up_proj"]),
    "mixtral_sharded": ("mixtral", dict(EXPERTS, num_local_experts=3, intermediate_size=11), ["model.layers.1.block_sparse_moe.gate.weight"]),
    "qwen2_moe": ("qwen2_moe", QWEN2_MOE, ["model.layers.0.mlp.shared_expert_gate.weight", "model.layers.1.mlp.gate.weight"]),
    "qwen2_moe_renormalised": ("qwen2_moe", dict(QWEN2_MOE, norm_topk_prob=True, num_experts=7), ["model.layers.0.mlp.gate.weight", "model.layers.1.mlp.experts.2.gate_proj.weight"]),
    "qwen2_moe_some": ("qwen2_moe", dict(QWEN2_MOE, num_hidden_layers=4, decoder_sparse_step=2, mlp_only_layers=[3], num_experts=3), ["model.layers.1.mlp.shared_expert.up_proj.weight"]),
    "qwen2_moe_stacked": ("qwen2_moe", dict(QWEN2_MOE, num_experts=3), ["model.layers.0.mlp.experts.down_proj"]),
    "olmoe": ("olmoe", dict(EXPERTS, num_key_value_heads=4, num_experts=6, intermediate_size=9, pad_token_id=None), ["model.layers.0.self_attn.q_norm.weight", "model.layers.1.mlp.gate.weight"]),
    "olmoe_renormalised": ("olmoe", dict(EXPERTS, num_experts=5, num_experts_per_tok=3, norm_topk_prob=True, intermediate_size=9, pad_token_id=None), ["model.layers.0.self_attn.k_norm.weight"]),
}


class Wide(TorchFunctionMode):
    """Whoever asks for float32 gets float64."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        def widen(value):
            return torch.float64 if value is torch.float32 else value
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        return func(*map(widen, args), **{key: widen(value) for key, value in (kwargs or {}).items()})


def value_of(name, shape, draw):
    """Norms and biases away from where they start, projections that keep the stream's size."""
    normal = draw.standard_normal(shape)
    if name.endswith("bias"):
        value = 0.3 * normal
    elif "norm" in name or ".ln_" in name:
        value = 1 + 0.3 * normal
    elif name.endswith((".wte.weight", ".wpe.weight", "embed_tokens.weight", "embed_in.weight")):
        value = 0.5 * normal
    elif name.endswith((".gate.weight", "shared_expert_gate.weight")):
        value = 2 * normal / shape[-1] ** 0.5
    else:
        value = 1.3 * normal / shape[0 if ".c_" in name else -1] ** 0.5
    return torch.from_numpy(value.astype(np.float32))


def make_model(kind, settings, draw):
    from transformers import AutoConfig, AutoModelForCausalLM
    config = AutoConfig.for_model(kind, **settings)
    with Wide():  # the rotation's frequencies are computed here
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", experts_implementation="eager", dtype=torch.float64)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            parameter.copy_(value_of(name, tuple(parameter.shape), draw))
    return model.eval()


def router_margins(model, kept):
    """A hook on each router: how far the last expert taken is before the first left."""
    def hook(module, inputs, output):
        probabilities = torch.softmax(inputs[0].reshape(-1, inputs[0].shape[-1]) @ module.weight.T, -1)
        best = probabilities.sort(-1, descending=True).values
        kept.append((best[:, module.top_k - 1] - best[:, module.top_k]).min().item())
    for module in model.modules():
        if type(module).__name__.endswith("TopKRouter"):
            module.register_forward_hook(hook)


def expectations(model, draw):
    """What the model computes; and the least margin of a choice."""
    vocabulary = model.config.vocab_size
    ids = torch.from_numpy(draw.randint(0, vocabulary, (BATCH, LENGTH)))
    prompt = torch.from_numpy(draw.randint(0, vocabulary, (1, PROMPT)))
    margins = []
    router_margins(model, margins)
    with Wide():
        logits = model(ids, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, vocabulary), ids[:, 1:].reshape(-1))
        loss.backward()
        text = prompt
        with torch.no_grad():
            for _ in range(GREEDY):
                last = model(text, use_cache=False).logits[0, -1]
                best = last.topk(2).values
                margins.append((best[0] - best[1]).item())
                text = torch.cat([text, last.argmax().view(1, 1)], 1)
    found = {"ids": ids, "logits": logits.detach(), "loss": loss.detach(), "prompt": prompt[0], "greedy": text[0, PROMPT:].clone()}
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    return found, gradients, min(margins)


def tensors_of(model, tensors):
    """Given by the names of the model's own state, as a folder spells them."""
    from transformers.core_model_loading import revert_weight_conversion
    return {name: tensor.contiguous() for name, tensor in revert_weight_conversion(model, dict(tensors)).items()}


def older(folder, name):
    """As folders were written by earlier versions: settings at the top level, and buffers that nobody reads beside the weights."""
    config = json.loads((folder / "config.json").read_text())
    tensors = load_file(folder / "model.safetensors")
    if name == "gpt2_original":
        config.pop("tie_word_embeddings", None)  # true where it is not said
        tensors = {key.removeprefix("transformer."): value for key, value in tensors.items()}
        tensors |= {f"h.{layer}.attn.bias": torch.ones(29, 29).tril().view(1, 1, 29, 29) for layer in range(2)}
    else:
        parameters = config.pop("rope_parameters")
        config["rope_theta"] = parameters["rope_theta"]
        config["rope_scaling"] = {"type": parameters["rope_type"], "factor": parameters["factor"]}
        tensors |= {f"model.layers.{layer}.self_attn.rotary_emb.inv_freq": torch.ones(4) for layer in range(2)}
    config["torch_dtype"] = config.pop("dtype")
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def write_case(folder, name, seed):
    kind, settings, names = CASES[name]
    for attempt in range(200):
        draw = np.random.RandomState([seed, attempt, *name.encode()])  # its stream is fixed for good
        model = make_model(kind, settings, draw)
        expected, gradients, margin = expectations(model, draw)
        if margin >= MARGIN and len(expected["greedy"].unique()) >= VARIETY:
            break
    else:
        sys.exit(f"{name}: no model with clear choices in 200 tries")
    stacked = name.endswith("_stacked")
    model.float().save_pretrained(folder, max_shard_size="12KB" if name.endswith("_sharded") else "1GB", save_original_format=not stacked)
    if not stacked:
        gradients = tensors_of(model, gradients)
    if name in ("gpt2_original", "llama_older"):
        older(folder, name)
        gradients = {key.removeprefix("transformer.") if name == "gpt2_original" else key: value for key, value in gradients.items()}
    expected |= {f"gradient.{key}": gradients[key] for key in names}
    save_file(expected, folder / "expected.safetensors")


def differences(made, kept):
    """One line for each thing that differs between two folders of cases."""
    for name in sorted({path.name for path in made.iterdir()} ^ {path.name for path in kept.iterdir()}):
        yield f"{name} is only in one"
    for folder in sorted(path for path in made.iterdir() if (kept / path.name).is_dir()):
        other = kept / folder.name
        for name in sorted({path.name for path in folder.iterdir()} ^ {path.name for path in other.iterdir()}):
            yield f"{folder.name}/{name} is only in one"
        for path in sorted(path for path in folder.iterdir() if (other / path.name).exists()):
            if path.suffix == ".json":
                settings = [json.loads(one.read_text()) for one in (path, other / path.name)]
                for one in settings:
                    one.pop("transformers_version", None)
                if settings[0] != settings[1]:
                    yield f"{folder.name}/{path.name} differs"
                continue
            tensors = [load_file(one) for one in (path, other / path.name)]
            if tensors[0].keys() != tensors[1].keys():
                yield f"{folder.name}/{path.name} has other tensors"
                continue
            for key, value in tensors[0].items():
                # Sums of at most a few hundred terms of about 1, through a few layers.
                same = torch.equal(value, tensors[1][key]) if value.dtype != torch.float64 else torch.allclose(value, tensors[1][key], rtol=1e-11, atol=1e-11)
                if not same:
                    yield f"{folder.name}/{path.name}: {key} differs"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=pathlib.Path, default=OUT)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    options = parser.parse_args()
    import transformers
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.only:
            write_case(pathlib.Path(temporary) / name, name, options.seed)
        if options.check:
            found = list(differences(pathlib.Path(temporary), options.out))
            for line in found:
                print(line)
            print(f"{len(options.only)} cases, {len(found)} differences")
            return 1 if found else 0
        for name in options.only:
            shutil.rmtree(options.out / name, ignore_errors=True)
            shutil.copytree(pathlib.Path(temporary) / name, options.out / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
