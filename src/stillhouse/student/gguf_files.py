"""A GGUF file of a decoder made into a folder of safetensors, tokenizer and configuration, as every base is one."""

from pathlib import Path

import accelerate as accelerate  # both are asked for here, so that nothing is downloaded where one is missing
import gguf as gguf
import transformers

from stillhouse.student import bases


def to_safetensors(file: Path, folder: Path) -> None:
    """Write what is in the file to the folder, in float32, and remove the file."""
    tokenizer = bases.from_gguf(transformers.AutoTokenizer, file)
    model = bases.from_gguf(transformers.AutoModelForCausalLM, file, dtype="float32")
    bases.save(folder, model, tokenizer)
    file.unlink()
