"""llama.cpp's server with a language model whose answers have a closed form: ``python llama.py FOLDER PORT KEY``.

One layer, one head, embedding of 64. A token's embedding is (s, √(1 − s²), 0, …) with its valence s, so all have the same
norm and RMSNorm makes of them 8·(s, √(1 − s²), 0, …). Queries and keys are zero: attention is the plain mean over the tokens
so far. Values copy the first coordinate into the third, so that after the layer the last token (of valence 0) is
(0, 1, x) with x = 8·mean(s), and after the last RMSNorm z = 8x/√(1 + x²) stands in the third. The output rows of " positive"
and " negative" are ±SLOPE there, those of all other tokens far below. Hence P(" positive") = 1/(1 + exp(−2·SLOPE·z)).
"""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

SLOPE = 0.5
WIDTH = 64
VALENCES = {
    "wonderful": 0.5,
    "great": 0.25,
    "good": 0.125,
    "fine": 0.0625,
    "slow": -0.0625,
    "bad": -0.125,
    "dull": -0.25,
    "dreadful": -0.5,
}
ANSWERS = (" positive", " negative")
SPECIAL = ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
#: every byte, and the words with the space before them
PLAIN = [chr(code) for code in range(1, 128)] + [f" {word}" for word in VALENCES] + list(ANSWERS)


def tokens(text: str) -> list[str]:
    """How the model cuts a text in ASCII: the longest piece of ``PLAIN`` each time. Only words have a valence, so no piece that
    is a single character is mistaken for one."""
    known, found = sorted(PLAIN, key=len, reverse=True), []
    while text:
        piece = next(piece for piece in known if text.startswith(piece))
        found.append(piece)
        text = text[len(piece) :]
    return found


def positive(pieces: list[str]) -> float:
    """P(" positive" | " positive" or " negative") after tokens of which the last has no valence."""
    x = 8 * sum(VALENCES.get(piece.removeprefix(" "), 0.0) for piece in pieces) / len(pieces)
    return 1 / (1 + math.exp(-2 * SLOPE * 8 * x / math.sqrt(1 + x * x)))


def chat(**messages: str) -> list[str]:
    """The tokens of messages by role, as ``TEMPLATE`` joins them."""
    joined = [[f"<|{role}|>", *tokens(content)] for role, content in messages.items()]
    return [*(piece for pieces in joined for piece in pieces), "<|assistant|>"]


def write(path: Path) -> None:
    """The model as a GGUF file of 0.1 MB."""
    import numpy as np
    from gguf import GGUFWriter, TokenType

    vocabulary = ["<unk>", *SPECIAL, *PLAIN]
    kinds = [TokenType.UNKNOWN, *[TokenType.CONTROL] * len(SPECIAL), *[TokenType.NORMAL] * len(PLAIN)]
    valence = np.array([VALENCES.get(token[1:], 0.0) if token[0] == " " else 0.0 for token in vocabulary], np.float32)
    embedding = np.zeros((len(vocabulary), WIDTH), np.float32)
    embedding[:, 0], embedding[:, 1] = valence, np.sqrt(1 - valence**2)
    output = np.zeros((len(vocabulary), WIDTH), np.float32)
    output[:, 1] = -50.0
    for answer, sign in zip(ANSWERS, (1, -1), strict=True):
        output[vocabulary.index(answer)] = 0.0
        output[vocabulary.index(answer), 2] = sign * SLOPE
    zero, copy, read = (np.zeros((WIDTH, WIDTH), np.float32) for _ in range(3))
    copy[0, 0] = 1.0
    read[2, 0] = 1.0
    ones = np.ones(WIDTH, np.float32)

    writer = GGUFWriter(path, "llama")
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-12)
    writer.add_rope_dimension_count(WIDTH)
    writer.add_vocab_size(len(vocabulary))
    writer.add_tokenizer_model("rwkv")
    writer.add_token_list([_escaped(token) for token in vocabulary])
    writer.add_token_types(kinds)
    writer.add_eos_token_id(vocabulary.index("<|end|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    for name, tensor in {
        "token_embd.weight": embedding,
        "output_norm.weight": ones,
        "output.weight": output,
        "blk.0.attn_norm.weight": ones,
        "blk.0.attn_q.weight": zero,
        "blk.0.attn_k.weight": zero,
        "blk.0.attn_v.weight": copy,
        "blk.0.attn_output.weight": read,
        "blk.0.ffn_norm.weight": ones,
        "blk.0.ffn_gate.weight": zero,
        "blk.0.ffn_down.weight": zero,
        "blk.0.ffn_up.weight": zero,
    }.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _escaped(token: str) -> str:
    """As this kind of vocabulary is stored: control characters by number."""
    plain = [f"\\x{ord(char):02x}" if ord(char) < 32 or char in "\\\x7f" else char for char in token]
    return "".join(plain)


def main(folder: str, port: str, key: str) -> None:
    import xllamacpp

    model = Path(folder) / "model.gguf"
    write(model)
    settings = xllamacpp.CommonParams()
    settings.model.path = str(model)
    settings.hostnames = ["127.0.0.1"]
    settings.port = int(port)
    settings.api_keys = [key]
    settings.n_ctx = 2048
    settings.n_parallel = 4
    settings.cpuparams.n_threads = 1
    settings.warmup = False
    server = xllamacpp.Server(settings)  # serves in threads of its own for as long as it is held
    while server:
        time.sleep(3600)


if __name__ == "__main__":
    main(*sys.argv[1:])
