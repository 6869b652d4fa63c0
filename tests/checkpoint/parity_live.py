#!/usr/bin/env python3
"""transformers and Pointwork on fresh models of every class, both ways. `make parity` runs it.

usage: .venv/bin/python tests/checkpoint/parity_live.py BUILD [--seed N]

1. The golden cases are made again and compared with tests/golden/huggingface.
2. Other random models, of a seed that is printed, go through the test of the golden ones.
3. Each of these is converted to a checkpoint of ours and back; transformers loads what came back, and computes with it what it did before.
Status 1 where anything differs.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import huggingface_cases as cases  # noqa: E402


def read_back(program, folder, temporary):
    """Why transformers computes something else with what came back, or nothing."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM
    ours, theirs = temporary / "ours" / folder.name, temporary / "theirs" / folder.name
    for source, target in ((folder, ours), (ours, theirs)):
        result = subprocess.run([program, "convert", source, target, "--quiet"], capture_output=True, text=True)
        if result.returncode != 0:
            return result.stderr.strip()
    with cases.Wide():
        model, info = AutoModelForCausalLM.from_pretrained(theirs, dtype=torch.float64, attn_implementation="eager", experts_implementation="eager", output_loading_info=True)
        expected = load_file(folder / "expected.safetensors")
        with torch.no_grad():
            logits = model(expected["ids"], use_cache=False).logits
    if model.config.model_type != cases.CASES[folder.name][0]:
        return f"came back as {model.config.model_type}"
    odd = {key: value for key, value in info.items() if value}
    if odd:
        return f"tensors do not fit: {odd}"
    if not torch.allclose(logits, expected["logits"], rtol=1e-11, atol=1e-11):
        return f"logits differ by up to {(logits - expected['logits']).abs().max().item():.3g}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000 + 1)
    options = parser.parse_args()
    script, failed = [sys.executable, ROOT / "tools" / "huggingface_cases.py"], []

    if subprocess.run([*script, "--check"]).returncode != 0:
        failed.append("golden cases")
    with tempfile.TemporaryDirectory() as folder:
        temporary = pathlib.Path(folder)
        fresh = temporary / "cases"
        print(f"fresh models of seed {options.seed}")
        subprocess.run([*script, fresh, "--seed", str(options.seed)], check=True)
        environment = {**os.environ, "POINTWORK_PARITY": str(fresh), "GTEST_BRIEF": "1"}
        if subprocess.run([options.build / "tests" / "test_checkpoint", "--gtest_filter=*Parity*"], env=environment).returncode != 0:
            failed.append("fresh models")
        import transformers
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        count = 0
        for one in sorted(fresh.iterdir()):
            count += 1
            if why := read_back(options.build / "pointwork", one, temporary):
                print(f"{one.name}: {why}")
                failed.append(one.name)
        print(f"{count} models there and back")
    print(f"parity: {'FAILED: ' + ', '.join(failed) if failed else 'the same'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
