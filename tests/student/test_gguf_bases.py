"""GGUF files as bases: read, saved as safetensors with the same numbers, and refused in a sentence where torn or of another kind."""

import pytest

from stillhouse.errors import UserError

WORDS = ["<unk>", "<|end|>", "a", "b", "c", "ab"]


def tiny(path, architecture="llama"):
    """A decoder of one layer with random weights, as llama.cpp writes one."""
    gguf = pytest.importorskip("gguf")
    import numpy as np

    draw, width = np.random.default_rng(0), 32
    writer = gguf.GGUFWriter(str(path), architecture)
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(len(WORDS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(WORDS)
    writer.add_token_types([3, 3, 1, 1, 1, 1])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(0)
    layer = {
        "attn_q": (width, width),
        "attn_k": (width, width),
        "attn_v": (width, width),
        "attn_output": (width, width),
    }
    layer |= {
        "ffn_gate": (64, width),
        "ffn_up": (64, width),
        "ffn_down": (width, 64),
        "attn_norm": (width,),
        "ffn_norm": (width,),
    }
    shapes = {f"blk.0.{name}": shape for name, shape in layer.items()}
    shapes |= {"token_embd": (len(WORDS), width), "output_norm": (width,), "output": (len(WORDS), width)}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", draw.normal(size=shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.slow
def test_a_gguf_file_is_a_base_and_becomes_safetensors_with_the_same_answers(tmp_path):
    import torch
    import transformers

    from stillhouse.student import bases
    from stillhouse.student.gguf_files import to_safetensors

    file = tiny(tmp_path / "tiny.gguf")
    base = bases.resolve(f"gguf:{file}")
    model = bases.load_weights(transformers.AutoModelForCausalLM, base)
    tokenizer = bases.load_tokenizer(base)
    assert bases.from_pretrained(transformers.AutoConfig, base).model_type == "llama" and model.dtype == torch.float32
    asked = torch.tensor([tokenizer("abc")["input_ids"]])
    (tmp_path / "out").mkdir()
    to_safetensors(file.rename(tmp_path / "out" / "weights.gguf"), tmp_path / "out")
    assert not (tmp_path / "out" / "weights.gguf").exists()
    saved = bases.load_weights(transformers.AutoModelForCausalLM, str(tmp_path / "out"))
    assert bases.load_tokenizer(str(tmp_path / "out"))("abc")["input_ids"] == asked[0].tolist()
    with torch.inference_mode():
        assert torch.equal(model(asked).logits, saved(asked).logits)


@pytest.mark.slow
def test_a_torn_file_and_another_architecture_are_one_sentence(tmp_path):
    import transformers

    from stillhouse.student import bases

    file = tiny(tmp_path / "tiny.gguf")
    whole = file.read_bytes()
    other = tiny(tmp_path / "other.gguf", "unheard-of")
    for content in (whole[: len(whole) // 2], whole[:100], b"GGUF", b"no such thing", b"", other.read_bytes()):
        file.write_bytes(content)
        with pytest.raises(
            UserError, match=r"tiny.gguf cannot be read as GGUF .*of an architecture that transformers reads"
        ):
            bases.load_weights(transformers.AutoModelForCausalLM, f"gguf:{file}")
    with pytest.raises(UserError, match="no such file; give a GGUF file"):
        bases.resolve(f"gguf:{tmp_path}/none.gguf")
