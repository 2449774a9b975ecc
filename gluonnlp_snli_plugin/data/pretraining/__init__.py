"""Text to batches for BERT pretraining: masked language model and next sentence prediction."""
