"""Text to batches: the SNLI corpus, truncation, tokenizers, encoding, batches."""
