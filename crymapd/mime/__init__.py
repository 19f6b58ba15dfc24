"""Mail as it is: octets become values. Nothing here fails on a message or alters one.

One pass over a message finds its parts by offset and keeps their header blocks (`parts`); the other modules
work on these.  The standard library's `email` is not used, because it alters octets and has quadratic paths.
"""
