"""The capped KV cache: slots, what they cost, and the transformers cache built of them."""

from infinipot_v.cache.capped import CacheState, CappedCache
from infinipot_v.cache.cost import MemoryCost

__all__ = ["CacheState", "CappedCache", "MemoryCost"]
