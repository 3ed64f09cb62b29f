"""The losses of StyleGAN2, one value a sample.

Sources: Goodfellow et al., "Generative Adversarial Nets" (NIPS 2014) for the non-saturating loss; Mescheder et al.,
"Which Training Methods for GANs do actually Converge?" (ICML 2018), equation 9, for R1; Karras et al., "Progressive
Growing of GANs" (ICLR 2018, appendix A.1) for the penalty on drifting logits; Karras et al., "Analyzing and Improving
the Image Quality of StyleGAN" (CVPR 2020), equation 4, for the path length.
"""

from __future__ import annotations

from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

_LIFT = 256.0  # a power of two: exact, and keeps slopes of half precision from vanishing


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """softplus(−D(x)) + softplus(D(G(z))): (N, 1) logits to (N,)."""
    return (F.softplus(-real.float()) + F.softplus(fake.float())).flatten()


def generator_loss(fake: Tensor) -> Tensor:
    """softplus(−D(G(z))): (N, 1) logits to (N,)."""
    return F.softplus(-fake.float()).flatten()


def epsilon_penalty(real: Tensor) -> Tensor:
    """D(x)², which keeps logits from drifting: (N, 1) to (N,)."""
    return real.float().square().flatten()


def r1_penalty(logits: Tensor, image: Tensor) -> Tensor:
    """‖∂D/∂x‖² of each sample; γ/2 times it is R1.

    Args:
        logits: (N, 1) of real images, with a graph.
        image: (N, 3, H, W), a leaf that requires a gradient.

    Returns:
        (N,) float32, differentiable with respect to the discriminator.
    """
    (slope,) = torch.autograd.grad(logits.float().sum() * _LIFT, image, create_graph=True)
    return (slope.float() / _LIFT).square().sum(dim=[1, 2, 3])


def path_lengths(image: Tensor, w: Tensor, noise: Tensor) -> Tensor:
    """‖Jᵀy‖ of each sample, y normal with variance 1/(H·W).

    Args:
        image: (N, 3, H, W) generated from w, with a graph.
        w: (N, w_channels) styles.
        noise: (N, 3, H, W) standard normal.

    Returns:
        (N,) float32, differentiable with respect to the generator.
    """
    scaled = noise / sqrt(image.shape[2] * image.shape[3])
    (slope,) = torch.autograd.grad((image.float() * scaled).sum() * _LIFT, w, create_graph=True)
    return (slope.float() / _LIFT).square().sum(dim=1).sqrt()
