"""BERT backbones, the classification head, and where their weights are kept."""
