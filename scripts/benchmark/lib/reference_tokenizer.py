"""The reference that ``encode_corpus.py`` compares with: Hugging Face's fast BERT tokenizer.

``python reference_tokenizer.py CHECKPOINT PAIRS MAX_LEN`` runs in an environment with transformers. PAIRS is a JSON
list of premises and hypotheses. For each line it reads, ``transformers`` or ``tokenizers``, it encodes them all that
way and prints seconds, tokens and the sum of the ids as JSON.
"""

import json
import sys
import time
from pathlib import Path

from transformers import AutoTokenizer

BATCH = 1000  # as `datasets` maps


def main(checkpoint, pairs_file, max_len):
    premises, hypotheses = json.loads(Path(pairs_file).read_text(encoding="utf-8"))

    def with_transformers():
        tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        begin = time.perf_counter()
        ids = []
        for i in range(0, len(premises), BATCH):
            one, two = premises[i : i + BATCH], hypotheses[i : i + BATCH]
            ids += tokenizer(one, two, truncation="longest_first", max_length=max_len)["input_ids"]
        return ids, time.perf_counter() - begin

    def with_tokenizers():
        tokenizer = AutoTokenizer.from_pretrained(checkpoint).backend_tokenizer
        tokenizer.enable_truncation(max_len)
        tokenizer.no_padding()
        begin = time.perf_counter()
        ids = []
        for i in range(0, len(premises), BATCH):
            pairs = list(zip(premises[i : i + BATCH], hypotheses[i : i + BATCH]))
            ids += [encoding.ids for encoding in tokenizer.encode_batch(pairs)]
        return ids, time.perf_counter() - begin

    ways = {"transformers": with_transformers, "tokenizers": with_tokenizers}
    for line in sys.stdin:
        ids, seconds = ways[line.strip()]()
        tokens = sum(map(len, ids))
        print(json.dumps({"seconds": seconds, "tokens": tokens, "sum": sum(map(sum, ids))}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
