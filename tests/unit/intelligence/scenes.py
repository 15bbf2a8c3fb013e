"""Films with a known truth, as lists of luma pictures of limited range (16 to 235)."""

from __future__ import annotations

import numpy as np

WIDTH, HEIGHT = 640, 360
RATE = 5
"""Pictures a second: what is sampled of a film by default."""


def ground(seed: int = 1) -> np.ndarray:
    """A still scene with texture: soft blobs, edges and a gradient, luma 40 to 200, as floats."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(60, 180, (HEIGHT // 40, WIDTH // 40))
    picture = np.kron(coarse, np.ones((40, 40)))
    picture += np.linspace(-20, 20, WIDTH)[None, :]
    return picture


def finished(picture: np.ndarray) -> np.ndarray:
    """Cut a picture of floats to what a camera gives."""
    return np.clip(np.round(picture), 16, 235).astype(np.uint8)


def film(
    seconds: float, draw, *, noise: float = 2.0, seed: int = 7, rate: int = RATE
) -> list[np.ndarray]:
    """Draw each picture: `draw(scene, t)` changes a copy of the ground; then noise on top."""
    random = np.random.default_rng(seed)
    base, pictures = ground(), []
    for number in range(round(seconds * rate)):
        scene = draw(base.copy(), number / rate)
        pictures.append(finished(scene + random.normal(0, noise, scene.shape)))
    return pictures


def still(scene, _t):
    """Nothing happens."""
    return scene


def box_crossing(scene, t):
    """A bright box of a fifth of the height goes from left to right between 2 s and 4 s."""
    if 2 <= t < 4:
        left = int((t - 2) / 2 * (WIDTH - 80))
        scene[140:212, left : left + 80] = 230
    return scene


def global_flash(scene, t):
    """Everything is brighter for 0.1 s at 2 s, much of it up to white."""
    return scene + 90 if 2 <= t < 2.1 else scene


def light_switched_on(scene, t):
    """From 2 s on a lamp lights all, the left side twice as much as the right."""
    lamp = 1.7 - 0.35 * np.linspace(0, 1, WIDTH)[None, :]
    return scene * lamp if t >= 2 else scene


def exposure_steps(scene, t):
    """A camera that adjusts: a factor from 1 to 0.6 in five steps from 2 s on."""
    return scene * (1 - 0.08 * min(5, max(0, int((t - 2) / 0.2))))


def slow_fade(scene, t):
    """To black from 1 s to 5 s."""
    return 16 + (scene - 16) * (1 - min(1, max(0, (t - 1) / 4)))


def small_object(scene, t):
    """16 x 30 px, dark, goes 200 px from 2 s to 4 s: 0.2 % of the picture."""
    if 2 <= t < 4:
        left = 300 + int((t - 2) / 2 * 200)
        scene[190:220, left : left + 16] = 30
    return scene


def box_in_fade(scene, t):
    """A box crosses from 2 s to 4 s while everything fades."""
    return slow_fade(box_crossing(scene, t), t)
