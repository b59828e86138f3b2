"""The capped KV cache: slots, what they cost, and the transformers cache built of them."""

from infinipot_v.cache.capped import CappedCache
from infinipot_v.cache.cost import MemoryCost
from infinipot_v.cache.state import CacheState

__all__ = ["CacheState", "CappedCache", "MemoryCost"]
