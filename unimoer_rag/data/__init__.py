"""What reads questions, passages, judgements and runs."""
