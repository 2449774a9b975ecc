"""Files, threads and memory."""
