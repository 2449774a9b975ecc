"""Using a fine-tuned model: prediction and evaluation."""
