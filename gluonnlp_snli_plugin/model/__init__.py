"""Networks: BERT backbones, the classification head, and the pretraining network."""
