"""Hugging Face's checkpoint layout: reads it, and writes fine-tuned models in it."""
