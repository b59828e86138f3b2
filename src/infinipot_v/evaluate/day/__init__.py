"""A day: 24 hours at one frame a second, what a memory of it weighs, and what it still knows, by delay.

Two halves that are never mixed. `keys`: the KV side at the shape of a 7B model, random keys and values, for bytes.
`watching`: the embedded model in its own world, for answers.
"""
