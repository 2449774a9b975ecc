"""What is learned: the tasks and their corpora."""
