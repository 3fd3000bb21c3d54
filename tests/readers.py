"""What the readers without a model, which tests use, have in common."""

from __future__ import annotations

from PIL import Image

from vary.document.orientation import Orientation


class UprightReader:
    """Finds every page upright and of the size that it reads. Its subclasses say what they read."""

    name = "fake"

    def find_orientation(self, image: Image.Image) -> Orientation:
        return Orientation()

    def wanted_scale(self, image: Image.Image) -> float:
        return 1.0
