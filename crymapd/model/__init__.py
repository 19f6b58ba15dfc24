"""The nouns: numbers, sequence sets, flags, names, search keys, changes. No I/O and no bytes."""
