"""Write and read samples as WebDataset tar shards. A killed run loses no sample and repeats none.

Tar needs no library, allows streaming and random access, and is shown as a table by `datasets`
(`load_dataset("webdataset", data_files="DIR/*.tar")`). A sample has up to three members: `000000007.png` (or .jpg),
`.json` (target, prompt, kind, meta, regions, lines without boxes) and `.boxes.npy` ((characters, 4) float32, the boxes
of all lines concatenated). A text-only sample has no image.

    DIR/plan.json          description of the run; written first, and compared when the command is started again
    DIR/shard-000000.tar   samples 0 to per_shard - 1
    DIR/shard-000000.json  index: sha256 of the shard, offset and crc32 of every sample, skipped records with reasons
    DIR/manifest.json      list of all shards; written last, so its presence means the folder is complete

A shard is written to a temporary file and renamed; its index is written after that. So a shard with an index is
complete. Tar members have no date: the bytes of a shard depend on the plan alone, not on restarts or workers.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..io.errors import ConfigError, InputError
from ..io.files import atomic_write, sha256
from .sample import LabelledLine, Region, Sample, Skipped, Source

IMAGES = {  # suffix -> OpenCV parameters; png is lossless, jpg is smaller for noisy images
    "png": [cv2.IMWRITE_PNG_COMPRESSION, 1],
    "jpg": [cv2.IMWRITE_JPEG_QUALITY, 90],
}
_GREY = [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE]  # for pages: half the time, and a tenth smaller
MANIFEST, PLAN = "manifest.json", "plan.json"
_LINE = ("text", "baseline", "x_height", "em_px", "slope", "block")


def shard_name(k: int) -> str:
    """Return the file name of shard k, without suffix."""
    return f"shard-{k:06d}"


def pack(i: int, sample: Sample, image: str = "png") -> bytes:
    """Encode sample i as tar members, padded to whole blocks, without the end-of-archive mark. image: see `IMAGES`."""
    members = []
    if sample.image.size:
        shown = sample.image if sample.image.ndim == 2 else cv2.cvtColor(sample.image, cv2.COLOR_RGB2BGR)
        how = IMAGES[image] + (_GREY if image == "png" and shown.ndim == 2 else [])
        members.append((image, cv2.imencode(f".{image}", shown, how)[1].tobytes()))
    lines = [{name: getattr(line, name) for name in _LINE} | _styles(line) for line in sample.lines]
    regions = [[r.label, [float(v) for v in r.box], r.text] for r in sample.regions]
    about = {
        "kind": sample.kind, "text": sample.text, "target": sample.target, "prompt": sample.prompt, "meta": sample.meta,
        "regions": regions, "lines": lines,
    }  # fmt: skip
    members.append(("json", json.dumps(about, ensure_ascii=False, default=_plain).encode()))
    if lines:
        boxes = io.BytesIO()
        np.save(boxes, np.concatenate([line.boxes for line in sample.lines]).astype(np.float32), allow_pickle=False)
        members.append(("boxes.npy", boxes.getvalue()))
    packed = io.BytesIO()
    for ending, data in members:
        info = tarfile.TarInfo(f"{i:09d}.{ending}")
        info.size = len(data)
        packed.write(info.tobuf(tarfile.USTAR_FORMAT))
        packed.write(data + bytes(-len(data) % tarfile.BLOCKSIZE))
    return packed.getvalue()


def _plain(value: Any) -> Any:
    """Convert numpy and pathlib values for JSON."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"meta holds a {type(value).__name__}, which JSON cannot hold")


def _styles(line: LabelledLine) -> dict[str, str]:
    """Encode the styles of a line as one digit per character."""
    return {} if line.styles is None else {"styles": "".join(map(str, line.styles.tolist()))}


def _bits(digits: str | None) -> np.ndarray | None:
    return None if digits is None else np.array([int(digit) for digit in digits], np.uint8)


def unpack(packed: bytes) -> Sample:
    """Decode the result of `pack`. Everything is equal to the packed sample, except the pixels of a jpg."""
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(packed + bytes(2 * tarfile.BLOCKSIZE))) as tar:
        for member in tar:
            data = tar.extractfile(member)
            found[member.name.split(".", 1)[1]] = data.read() if data else b""
    about = json.loads(found["json"])
    image: Any = np.zeros((0, 0), np.uint8)
    for ending in IMAGES.keys() & found.keys():
        image = cv2.imdecode(np.frombuffer(found[ending], np.uint8), cv2.IMREAD_UNCHANGED)
        image = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    boxes = np.load(io.BytesIO(found["boxes.npy"]), allow_pickle=False) if about["lines"] else np.zeros((0, 4))
    ends = np.cumsum([len(line["text"]) for line in about["lines"]]).tolist()
    lines = [
        LabelledLine(boxes=boxes[end - len(line["text"]) : end].copy(), styles=_bits(line.pop("styles", None)), **line)
        for end, line in zip(ends, about["lines"], strict=True)
    ]
    regions = [Region(label, tuple(box), text) for label, box, text in about["regions"]]
    return Sample(image, lines, about["kind"], about["meta"], about["target"], about["prompt"], regions)


def write_shard(folder: Path, k: int, source: Source, span: range, image: str = "png", tick: Any = None) -> None:
    """Render samples `span` into shard k of the folder. tick: called after every sample.

    A sample that raises `Skipped` is left out and listed in the index. Any other error ends the shard with a ValueError
    that names the shard and the sample.
    """
    name, part = shard_name(k), f".{shard_name(k)}.{os.getpid()}.part"
    digest, at, places, skipped, kinds = hashlib.sha256(), 0, [], [], {}  # type: ignore[var-annotated]
    with atomic_write(folder / f"{name}.tar", part) as tar:
        for i in span:
            try:
                sample = source.sample(i)
                packed = pack(i, sample, image)
            except Skipped as reason:
                skipped.append([i, str(reason)])
            except Exception as error:
                what = " ".join(str(error).split()) or type(error).__name__
                raise InputError(f"{name}, sample {i}: {what}") from error
            else:
                tar.write(packed)
                digest.update(packed)
                places.append([i, at, len(packed), zlib.crc32(packed)])
                kinds[sample.kind] = kinds.get(sample.kind, 0) + 1
                at += len(packed)
            if tick:
                tick()
        end = bytes(2 * tarfile.BLOCKSIZE)
        tar.write(end)
        digest.update(end)
    index = {
        "shard": f"{name}.tar", "first": span.start, "count": len(span), "bytes": at + len(end),
        "sha256": digest.hexdigest(), "kinds": dict(sorted(kinds.items())), "skipped": skipped, "samples": places,
    }  # fmt: skip
    write_json(folder / f"{name}.json", index)


def write_json(path: Path, value: Any) -> None:
    """Write a value as a JSON file, atomically."""
    with atomic_write(path) as file:
        file.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")


def read_index(folder: Path, k: int) -> dict[str, Any] | None:
    """Read the index of shard k. Returns None if it is missing or unreadable: then the shard is not complete."""
    try:
        index = json.loads((folder / f"{shard_name(k)}.json").read_bytes())
    except (OSError, ValueError):
        return None
    return index if isinstance(index, dict) and "sha256" in index else None


def is_done(folder: Path, k: int) -> bool:
    """Return whether shard k has an index and a file of the size stated in it."""
    index, file = read_index(folder, k), folder / f"{shard_name(k)}.tar"
    return index is not None and file.is_file() and file.stat().st_size == index["bytes"]


@dataclass
class Health:
    """Result of `verify`. Each shard name is in exactly one list.

    samples: number in good shards. skipped: samples that the run left out. complete: the manifest exists and agrees
    with the indices.
    """

    good: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    truncated: list[str] = field(default_factory=list)
    corrupt: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    samples: int = 0
    skipped: int = 0
    complete: bool = False

    @property
    def ok(self) -> bool:
        """Return whether all shards are present and intact."""
        return self.complete and not any((self.missing, self.empty, self.truncated, self.corrupt, self.unfinished))

    def __str__(self) -> str:
        kinds = ("missing", "empty", "truncated", "corrupt", "unfinished")
        bad = [f"{len(names)} {kind}: {', '.join(names)}" for kind in kinds if (names := getattr(self, kind))]
        whole = [] if self.complete else ["the manifest is missing or does not fit: start the same command again"]
        return "; ".join(
            [f"{len(self.good)} good shards, {self.samples} samples, {self.skipped} skipped", *bad, *whole]
        )


def read_plan(folder: Path) -> dict[str, Any]:
    """Read the plan of a folder of shards. Raises ValueError if there is none."""
    try:
        return json.loads((folder / PLAN).read_bytes())
    except OSError as error:
        raise InputError(f"{folder / PLAN}: {error.strerror}; not a folder of shards") from None
    except ValueError as error:
        raise InputError(f"{folder / PLAN}: not JSON: {error}") from None


def shard_count(plan: dict[str, Any]) -> int:
    """Return the number of shards of a complete run."""
    return -(-plan["count"] // plan["per_shard"])


def verify(folder: str | Path) -> Health:
    """Read every byte of a folder of shards and compare it with the indices. Raises ValueError if there is no plan.

    A shard is `missing` if it has an index but no file, `empty` if the file has no bytes, `truncated` if it is too
    short, `corrupt` if its sha256 differs, and `unfinished` if it has no readable index.
    """
    folder, health, entries = Path(folder), Health(), []
    try:
        known = json.loads((folder / MANIFEST).read_bytes())["shards"]
    except (OSError, ValueError, KeyError, TypeError):
        known = None
    for k in range(shard_count(read_plan(folder))):
        index, file = read_index(folder, k), folder / f"{shard_name(k)}.tar"
        entries.append(_entry(index) if index else None)
        size = file.stat().st_size if file.is_file() else -1
        if index is None:
            (health.missing if known and size < 0 else health.unfinished).append(file.name)
        elif size <= 0:
            (health.missing if size < 0 else health.empty).append(file.name)
        elif size < index["bytes"]:
            health.truncated.append(file.name)
        elif sha256(file) != index["sha256"]:
            health.corrupt.append(file.name)
        else:
            health.good.append(file.name)
            health.samples += len(index["samples"])
            health.skipped += len(index["skipped"])
    health.complete = known == entries
    return health


def _entry(index: dict[str, Any]) -> dict[str, Any]:
    """Return the manifest entry of a shard."""
    counts = {"samples": len(index["samples"]), "skipped": len(index["skipped"])}
    return {key: index[key] for key in ("shard", "first", "count", "bytes", "sha256", "kinds")} | counts


def write_manifest(folder: Path, plan: dict[str, Any]) -> dict[str, Any]:
    """Write and return the manifest of a folder whose shards are all complete."""
    entries = []
    for k in range(shard_count(plan)):
        index = read_index(folder, k)
        if index is None:
            raise InputError(f"{folder}: {shard_name(k)} has no index; the manifest is written last")
        entries.append(_entry(index))
    samples, skipped = (sum(e[key] for e in entries) for key in ("samples", "skipped"))
    manifest = {"plan": plan, "samples": samples, "skipped": skipped, "shards": entries}
    write_json(folder / MANIFEST, manifest)
    return manifest


class Shards:
    """A folder of shards as a source: random access by `sample(i)`, or iteration in order.

    damaged: "raise" stops at the first damaged sample; "skip" leaves it out and lists it in `lost`. A shard that is
    missing or has the wrong size counts as damaged. Raises ValueError if the folder has no plan, or has damaged
    shards and `damaged` is "raise".
    """

    def __init__(self, folder: str | Path, damaged: str = "raise"):
        if damaged not in ("raise", "skip"):
            raise ConfigError(f"damaged={damaged!r}; allowed: raise, skip")
        self.folder, self.damaged, self.plan = Path(folder), damaged, read_plan(Path(folder))
        self.lost: list[str] = []
        bad = [f"{shard_name(k)}.tar" for k in range(shard_count(self.plan)) if not is_done(self.folder, k)]
        if bad and damaged == "raise":
            raise InputError(
                f"{self.folder}: {len(bad)} shards missing, unfinished or of a wrong size: {', '.join(bad)}"
            )
        self._index: tuple[int, dict[int, list[int]]] = (-1, {})

    def __len__(self) -> int:
        return int(self.plan["count"])

    def sample(self, i: int) -> Sample:
        """Return sample i. Raises IndexError past the end, Skipped if it was left out, ValueError if it is damaged."""
        if not 0 <= i < len(self):
            raise IndexError(f"{self.folder} has {len(self)} samples, there is no {i}")
        k = i // self.plan["per_shard"]
        name = f"{shard_name(k)}.tar"
        if self._index[0] != k:
            index = read_index(self.folder, k)
            if index is None:
                raise InputError(f"{self.folder / name}: sample {i}: the shard has no index")
            self._index = (
                k,
                {place[0]: place[1:] for place in index["samples"]} | {s[0]: s[1:] for s in index["skipped"]},
            )
        place = self._index[1][i]
        if len(place) == 1:
            raise Skipped(name, i, str(place[0]))
        start, size, crc = place
        try:
            with (self.folder / name).open("rb") as tar:
                tar.seek(start)
                packed = tar.read(size)
        except OSError as error:
            raise InputError(f"{self.folder / name}: sample {i}: {error.strerror}") from None
        if zlib.crc32(packed) != crc:
            raise InputError(f"{self.folder / name}: sample {i}: the bytes at {start} are not those that were written")
        return unpack(packed)

    def __iter__(self) -> Iterator[Sample]:
        """Yield all samples that were not skipped, in order. Clears `lost` first."""
        self.lost = []
        for i in range(len(self)):
            try:
                yield self.sample(i)
            except Skipped:
                continue  # already counted in the manifest
            except ValueError as error:
                if self.damaged == "raise":
                    raise
                self.lost.append(str(error))
