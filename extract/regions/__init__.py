"""Features of several looks at each picture, a coarse one at all of it and close ones at boxes of it: as AdaSpot makes
them, whose weights were trained to it, and with any backbone, as an option of an extraction.
"""

from .boxes import FEWEST_FRAMES
from .checkpoint import fit, region_part
from .close_look import RegionEngine
from .network import RegionNetwork
from .settings import MEAN, PADDINGS, RegionSettings
