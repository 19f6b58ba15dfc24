"""Mail as it is: octets in, values out, never failing and never altering.

Parts are found by offset in one pass (`parts`); everything else works on the header blocks that
pass kept.  The standard library's `email` is not used: it alters octets and has quadratic paths.
"""
