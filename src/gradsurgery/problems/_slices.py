"""Slices of computed tomography in DICOM files: whose they are, in Hounsfield units, and as pictures."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32

from gradsurgery.core.extras import need

if TYPE_CHECKING:
    from PIL.Image import Image

_LEAST = 16  # pixels that a side must have
_MOST = 1e6  # of slope and intercept: more is damage
_IDENTITY = ("PatientID", "SOPInstanceUID")
_CT = "1.2.840.10008.5.1.4.1.1.2"  # CT Image Storage, in the standard's list of classes


def identity(path: Path) -> tuple[str, str]:
    """Patient and slice, as the file's header names them; its pixels are not read.

    Raises:
        ValueError: it is no DICOM file or does not say them, or pydicom is not installed.
    """
    header = _read(path, stop_before_pixels=True, specific_tags=[*_IDENTITY])
    named = {tag: str(header.get(tag) or "").strip() for tag in _IDENTITY}
    for tag, value in named.items():
        if not value:
            raise ValueError(f"{path} must say its {tag}, found none.")
    return named["PatientID"], named["SOPInstanceUID"]


def hounsfield(path: Path) -> Float32[np.ndarray, "height width"]:
    """The pixels of a slice in Hounsfield units (air -1000, water 0), by the slope and intercept of its header.

    Raises:
        ValueError: it is damaged, cut off or no slice of CT, no installed package decodes it, or pydicom is not
            installed.
    """
    found = _read(path)
    given = getattr(found, "file_meta", {}).get("MediaStorageSOPClassUID")
    if (kind := found.get("Modality") or ("CT" if given == _CT else None)) != "CT":  # some sets leave it out
        raise ValueError(f"{path} must be a slice of CT, found {kind or 'nothing that says so'}.")
    try:
        pixels = found.pixel_array
        slope, intercept = float(found.RescaleSlope), float(found.RescaleIntercept)
    except Exception as error:  # a damaged file, or one of a compression that nothing here knows, may raise anything
        raise _damaged(path, error) from None
    if pixels.ndim != 2 or min(pixels.shape) < _LEAST:
        raise ValueError(f"{path} must be one slice of at least {_LEAST} x {_LEAST} pixels, found {pixels.shape}.")
    if not all(abs(number) < _MOST for number in (slope, intercept)):
        raise ValueError(f"{path} must have a slope and an intercept below {_MOST:g}, found {slope} and {intercept}.")
    units: Float32[np.ndarray, "height width"] = np.float32(slope) * pixels.astype(np.float32) + np.float32(intercept)
    return units


def picture(path: Path, window: tuple[float, ...]) -> "Image":
    """A slice as a coloured picture of three equal channels of bytes, 0 and 255 at the ends of the window and beyond.

    Args:
        path: the file.
        window: lower and upper end, in Hounsfield units.

    Raises:
        ValueError: as `hounsfield`.
    """
    from PIL import Image  # of the extra `repro`: the library itself needs no decoder

    low, high = window
    share = ((hounsfield(path) - low) / (high - low)).clip(0.0, 1.0)
    return Image.fromarray(np.rint(255 * share).astype(np.uint8)).convert("RGB")


def _read(path: Path, **options: Any) -> Any:
    try:
        need("ct", "pydicom")
    except ImportError as error:
        raise ValueError(str(error)) from None
    import pydicom

    try:
        return pydicom.dcmread(path, **options)
    except Exception as error:  # likewise
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> ValueError:
    said = " ".join(str(error).split())[:200].rstrip(".")
    return ValueError(f"{path} must be a whole slice in DICOM, found {type(error).__name__}: {said}.")
