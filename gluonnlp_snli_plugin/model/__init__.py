"""Networks: BERT backbones, the classification head, and what BERT is pretrained with."""
