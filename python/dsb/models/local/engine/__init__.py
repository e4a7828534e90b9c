"""What reads visual tokens and text: contexts, keys and values, answers."""
