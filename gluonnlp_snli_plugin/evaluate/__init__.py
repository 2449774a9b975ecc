"""Fine-tuned models answer: predictions, their scores and explanations."""
