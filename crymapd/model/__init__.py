"""The nouns of the program: numbers, sequence sets, flags, names, search keys, changes. There is no I/O here."""
