"""LivePortrait's networks with weights that copy: what goes in comes out, blurred, moved by the mean of the keypoints.

Such weights show in a picture that the way through all networks is right: crop, volume, flow, decoder, paste back.
"""

import torch

from liveface.nets.liveportrait import build
from liveface.nets.liveportrait.decoder import SpectralConv
from liveface.nets.liveportrait.size import Size

COPYING = Size(
    base=4, widest=16, channels=4, depth=3, compressed=1, residuals=1, depths=(1, 1, 1, 1), widths=(8, 12, 16, 24),
    motion_base=2, motion_widest=4, motion_levels=1, spade=3, middle=1,
)  # fmt: skip
CONTRAST = 5.0  # of the sigmoid at the end, around the middle grey


def copying_networks(seed=0):
    """Networks of `COPYING`; the motion extractor says something small and arbitrary."""
    torch.manual_seed(seed)
    made = build.build(COPYING)
    with torch.no_grad():
        for network in (made.appearance, made.warping, made.decoder, made.retarget):
            for name, value in network.named_parameters():
                if "norm" not in name or "mlp" in name:  # batch norms stay as they are
                    value.zero_()
        trunk = made.motion.detector
        trunk.fc_scale.bias.fill_(1)
        trunk.fc_kp.weight.zero_()
        trunk.fc_kp.bias.uniform_(-0.5, 0.5)
        for head in (trunk.fc_exp, trunk.fc_scale, trunk.fc_t):
            head.weight.mul_(0.1)
        _copy_appearance(made.appearance)
        _copy_warping(made.warping)
        _copy_decoder(made.decoder)
    return build.load({name: getattr(made, name).state_dict() for name in build.NETWORKS}, COPYING)


def _pass(conv, *, blur=False):
    """The first three channels go through unchanged, or averaged over 3x3."""
    for at in range(3):
        if blur:
            conv.weight[at, at] = 1 / 9
        else:
            conv.weight[at, at].view(-1)[conv.weight[at, at].numel() // 2] = 1


def _copy_appearance(network):
    for layer in (network.first, *network.down_blocks):
        _pass(layer.conv)
    for at in range(3 * COPYING.depth):
        network.second.weight[at, at // COPYING.depth] = 1  # the same colour at every depth


def _copy_warping(network):
    network.dense_motion_network.occlusion.bias.fill_(12)  # nothing is hidden
    for at in range(3):
        network.third.conv.weight[at, at * COPYING.depth + COPYING.depth // 2, 1, 1] = 1
    _pass(network.fourth)


def _copy_decoder(network):
    for layer in network.modules():
        if isinstance(layer, SpectralConv):  # the largest singular value told is 1
            middle = layer.weight_orig[0, 0].numel() // 2
            for at in range(3):
                layer.weight_orig[at, at].view(-1)[middle] = 1
            layer.weight_u.zero_()[0] = 1
            layer.weight_v.zero_()[middle] = 1
    for name, layer in network.named_modules():
        if name.endswith("mlp_gamma"):
            layer.bias.fill_(-1)  # what came before is forgotten
        if name.endswith("norm_s.mlp_shared.0") or name.endswith("norm_s.mlp_beta"):
            _pass(layer, blur=True)
    for colour in range(3):
        network.conv_img[0].weight[4 * colour : 4 * colour + 4, colour] = CONTRAST / 9
        network.conv_img[0].bias[4 * colour : 4 * colour + 4] = -CONTRAST / 2
