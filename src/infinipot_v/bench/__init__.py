"""Speed, memory and exactness of ourselves against controls, with the real models' shapes and random weights.

A measure is a function from a `Subject` (a model of one shape) to rows in a `Notebook`. Weights are random because none
of these figures depends on them; nothing here says anything about the quality of an answer.
"""
