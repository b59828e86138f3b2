"""Retrieval: everything is kept beside the device, and a question fetches what it needs (ReKV, arXiv 2503.00540).

Re-implemented, not checked against its authors' results. A rival of the capped memory, with a seam of
its own: it has no cap, and its report says what it holds.
"""

from infinipot_v.retrieval.report import RetrievalReport
from infinipot_v.retrieval.session import ReKV

__all__ = ["ReKV", "RetrievalReport"]
