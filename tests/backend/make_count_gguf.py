#!/usr/bin/env python3
"""Writes a 2 MB model that counts: asked "57" it answers " 58 59 60 …" up to 999 and stops.

llama.cpp loads it like any other. Its attention and feed-forward weights are zero, so what remains
is a table: the next token depends on the last one only. A piece that is lost, doubled or swapped on
the way shows in the answer itself, without a second run to compare with.

usage: make_count_gguf.py OUT.gguf
"""

import sys

import gguf
import numpy as np

LAST = 999
WIDTH = 192
HEADS = 3
HIDDEN = 64
CONTEXT = 32768
UNKNOWN, START, END = 0, 1, 2
NORMAL, UNKNOWN_TYPE, CONTROL, BYTE = 1, 2, 3, 6
SIGNS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,:;!?'\"-_/()[]{}<>|=+*&#@%$"


class Vocabulary:
    """The tokens: control, bytes, " 1" to " 999", single signs, "10" to "999"."""

    def __init__(self):
        self.texts = ["<unk>", "<s>", "</s>"]
        self.types = [UNKNOWN_TYPE, CONTROL, CONTROL]
        self.add((f"<0x{byte:02X}>" for byte in range(256)), BYTE)
        self.counted = self.add((f"\u2581{n}" for n in range(1, LAST + 1)), NORMAL)
        self.signs = self.add(["\u2581", *SIGNS], NORMAL)
        self.bare = self.add((str(n) for n in range(10, LAST + 1)), NORMAL)

    def add(self, texts, kind):
        first = len(self.texts)
        self.texts.extend(texts)
        self.types.extend([kind] * (len(self.texts) - first))
        return first

    def number(self, n):
        """The token " n"."""
        return self.counted + n - 1

    def same_as(self, n):
        """The token of n without a space before it."""
        return self.bare + n - 10 if n >= 10 else self.texts.index(str(n))


def weights(words):
    """Embeddings, and an output matrix in which each number points at the next."""
    size = len(words.texts)
    random = np.random.default_rng(7)
    embedding = random.standard_normal((size, WIDTH)).astype(np.float32)
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    numbers = set()
    for n in range(1, LAST + 1):
        embedding[words.same_as(n)] = embedding[words.number(n)]
        numbers |= {words.number(n), words.same_as(n)}
    for token in range(size):  # after anything else the count begins at 1
        if token not in numbers:
            embedding[token] = embedding[START]
    output = np.zeros((size, WIDTH), np.float32)
    for n in range(1, LAST):
        output[words.number(n + 1)] += 16.0 * embedding[words.number(n)]
    output[END] += 16.0 * embedding[words.number(LAST)]
    output[words.number(1)] += 16.0 * embedding[START]
    return embedding, output


def describe(writer, words):
    writer.add_name("count")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(1)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(words.texts))
    writer.add_file_type(1)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(words.texts)
    scores = [float(len(t)) if k == NORMAL else 0.0 for t, k in zip(words.texts, words.types)]
    writer.add_token_scores(scores)
    writer.add_token_types(words.types)
    writer.add_bos_token_id(START)
    writer.add_eos_token_id(END)
    writer.add_unk_token_id(UNKNOWN)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    # The prompt ends with what was asked last: the answer goes on from there.
    writer.add_chat_template("{{ messages[-1]['content'] }}")


def tensors(writer, words):
    embedding, output = weights(words)
    half, one = np.float16, np.float32
    narrow = WIDTH // HEADS
    writer.add_tensor("token_embd.weight", embedding.astype(half))
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, one))
    writer.add_tensor("output.weight", output.astype(half))
    writer.add_tensor("blk.0.attn_norm.weight", np.ones(WIDTH, one))
    writer.add_tensor("blk.0.ffn_norm.weight", np.ones(WIDTH, one))
    shapes = {
        "attn_q": (WIDTH, WIDTH),
        "attn_k": (narrow, WIDTH),
        "attn_v": (narrow, WIDTH),
        "attn_output": (WIDTH, WIDTH),
        "ffn_gate": (HIDDEN, WIDTH),
        "ffn_up": (HIDDEN, WIDTH),
        "ffn_down": (WIDTH, HIDDEN),
    }
    for name, shape in shapes.items():
        writer.add_tensor(f"blk.0.{name}.weight", np.zeros(shape, half))


def main():
    words = Vocabulary()
    writer = gguf.GGUFWriter(sys.argv[1], "llama")
    describe(writer, words)
    tensors(writer, words)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
