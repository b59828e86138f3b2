"""From frames to what a vision tower eats: resize, crop, normalise, cut into patches. torch only, no torchvision.

Every number comes from the checkpoint's own JSON. For the same target size the results equal Hugging Face's
torchvision processors (uint8 resampling with antialiasing, then one fused scale-and-normalise in float32).
Knows no model, no session and no time.
"""

from infinipot_v.models.preprocess.colours import Colours, normalise
from infinipot_v.models.preprocess.fixed import FixedRecipe
from infinipot_v.models.preprocess.pixels import crop_centre, letterbox, resize
from infinipot_v.models.preprocess.qwen import PixelRecipe, fit_grid, patchify_qwen

__all__ = [
    "Colours",
    "FixedRecipe",
    "PixelRecipe",
    "crop_centre",
    "fit_grid",
    "letterbox",
    "normalise",
    "patchify_qwen",
    "resize",
]
