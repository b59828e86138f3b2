"""Is a checkpoint run rightly here? Checks of a user's own weights against stock Hugging Face, one file a family.

A check is a function from a `Subject` to a `Finding`. Adding one: write it, name it in `checks.py`. What a check
compares with comes from the checkpoint's own files and from transformers, never from the adapter that is checked.
"""
