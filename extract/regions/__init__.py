"""Features of two looks at each picture, a coarse one at all of it and a close one at a box of it that the first one
chooses, as AdaSpot makes them.
"""

from .boxes import FEWEST_FRAMES, Boxes, box_sizes, choose_boxes
from .checkpoint import RegionPart, fit, region_part
from .network import RegionNetwork, Seen
from .settings import MEAN, PADDINGS, STD, RegionSettings
