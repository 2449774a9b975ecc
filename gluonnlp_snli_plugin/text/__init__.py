"""Text to tokens, and the vocabularies that number them."""
