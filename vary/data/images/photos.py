"""Make samples of natural images: negatives without text, and captioned images.

An image with a caption asks for it. Any other image is a negative: its target is one of five fixed sentences. So a
vocabulary trained on pages learns to say that there is no page (Vary, arXiv 2312.06109 section 3.2.2: 120,000 images of
COCO). Images come from the user's files or from packages (`photos`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ...io.errors import InputError
from ...io.image import open_image
from ...markup.prompts import PROMPTS
from ..corpus.download import fetch
from ..corpus.records import PICTURES
from ..sample import Sample, Skipped, shuffle_index

SENTENCES = (
    "It's an image of nature",
    "Here's a nature picture",
    "It's a nature photo",
    "This is a natural image",
    "That's a shot from nature",
)
_SKIMAGE = "usr/lib/python3/dist-packages/skimage/data/"
_LOMIRI = "usr/share/backgrounds/"
# Package -> photographs without text, selected by hand. Licences: BSD-3 and public domain (sample data of scikit-learn
# and scikit-image), CC-BY-SA (Lomiri), GPL-2+ and CC-BY-SA (MATE); training images only.
PHOTOS = {
    "deb:python3-sklearn": ["usr/lib/python3/dist-packages/sklearn/datasets/images/*.jpg"],
    "deb:python3-skimage": [
        *(f"{_SKIMAGE}{name}.png" for name in ("astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass")),
        *(
            f"{_SKIMAGE}{name}"
            for name in ("gravel.png", "moon.png", "motorcycle_left.png", "retina.jpg", "rocket.jpg")
        ),
        f"{_SKIMAGE}hubble_deep_field.jpg",
    ],
    "deb:lomiri-wallpapers-16.04": [
        *(f"{_LOMIRI}*_by_{who}.jpg" for who in ("Aitzol_Berasategi", "Sander_Klootwijk", "Bolly", "freespace")),
        *(f"{_LOMIRI}*_by_{who}.jpg" for who in ("Jakkub_Mede", "Clements_Engelhardt")),
        f"{_LOMIRI}free_by_Peter_Nerlich.jpg",
    ],
    "deb:lomiri-wallpapers-20.04": [f"{_LOMIRI}Kleiber*.jpg"],
    "deb:mate-backgrounds": [f"{_LOMIRI}mate/nature/*.jpg"],
}


def photos() -> list[Path]:
    """Fetch the packages of `PHOTOS` and list their 40 or so photographs. Raises RemoteError if that fails."""
    return [path for package, names in PHOTOS.items() for name in names for path in sorted(fetch(package).glob(name))]


def pictures(folder: str | Path) -> list[Path]:
    """List the image files in a folder and its subfolders, sorted by name. Raises ValueError if there is none."""
    found = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in PICTURES)
    if not found:
        raise InputError(f"{folder}: no pictures; allowed: {', '.join(PICTURES)}")
    return found


def read_captions(path: str | Path) -> dict[str, str]:
    """Read captions from JSON: a mapping of file name to caption, or a list of `image` (or `file_name`) and `caption`.

    Raises ValueError for any other form.
    """
    try:
        given = json.loads(Path(path).read_bytes())
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from None
    if isinstance(given, list) and all(isinstance(row, dict) for row in given):
        given = {row.get("image", row.get("file_name")): row.get("caption") for row in given}
    if not isinstance(given, dict) or not all(isinstance(v, str) for pair in given.items() for v in pair):
        raise InputError(f"{path}: expected file names and captions: an object, or a list of 'image' and 'caption'")
    return given


class PhotoSource:
    """Images as samples, each once per pass.

    files: image files. captions: file name -> caption; otherwise a .txt file next to the image is its caption. size:
    maximum side in pixels; larger images are scaled down. cropped: show a random part of negatives (half to all of each
    side), mirrored at random; captioned images stay whole. negatives: ignore captions. `sample(i)` raises Skipped for
    an unreadable image.
    """

    def __init__(
        self,
        files: Iterable[str | Path],
        *,
        seed: int = 0,
        size: int = 1024,
        captions: dict[str, str] | None = None,
        cropped: bool = True,
        negatives: bool = False,
    ):
        self.files, self.seed, self.size = [Path(f) for f in files], seed, size
        self.captions, self.cropped, self.negatives = captions or {}, cropped, negatives
        if not self.files:
            raise InputError("no pictures were given")

    def sample(self, i: int) -> Sample:
        """Return image i. `meta` names its file; the kind is `photo` or `caption`."""
        k = shuffle_index(i, len(self.files), self.seed)
        file, rng = self.files[k], np.random.default_rng((self.seed, i))
        try:
            caption = None if self.negatives else self._caption(file)
            picture = open_image(file, colour=True)
        except (InputError, OSError, UnicodeDecodeError) as error:
            raise Skipped("photos", k, str(error) if isinstance(error, InputError) else f"{file}: {error}") from None
        if caption is None and self.cropped:
            picture = crop(picture, rng)
        picture.thumbnail((self.size, self.size), Image.Resampling.BICUBIC)
        image, meta = np.asarray(picture), {"file": str(file)}
        if caption is None:
            return Sample(image, [], "photo", meta, SENTENCES[int(rng.integers(len(SENTENCES)))])
        return Sample(image, [], "caption", meta, caption, PROMPTS["caption"]["en"])

    def _caption(self, file: Path) -> str | None:
        beside = file.with_suffix(".txt")
        if file.name in self.captions:
            return self.captions[file.name]
        return beside.read_text(encoding="utf-8").strip() or None if beside.is_file() else None


def crop(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Cut a random part of an image, half to all of each side, mirrored or not."""
    wide, high = (max(1, round(side * float(rng.uniform(0.5, 1.0)))) for side in picture.size)
    x, y = int(rng.integers(picture.width - wide + 1)), int(rng.integers(picture.height - high + 1))
    part = picture.crop((x, y, x + wide, y + high))
    return ImageOps.mirror(part) if rng.random() < 0.5 else part
