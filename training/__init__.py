"""How the pocket model was trained. Not shipped: run it from a checkout, ``python -m training.run``."""
