"""Small slices of CT as DICOM files, which pydicom writes; without it their tests are skipped."""

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom", reason="package pydicom is not installed: the extra `ct`")

from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RLELossless  # noqa: E402


def save(path, pixels, patient="P1", uid="1.2.3", packed=False, kind=CTImageStorage, **changes):
    """Writes one file; a change of None leaves a tag out."""
    own = Dataset()
    own.file_meta = FileMetaDataset()
    own.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    own.file_meta.MediaStorageSOPClassUID = own.SOPClassUID = kind
    own.file_meta.MediaStorageSOPInstanceUID = own.SOPInstanceUID = uid
    own.PatientID, own.Modality = patient, "CT"
    own.Rows, own.Columns = pixels.shape
    own.BitsAllocated, own.BitsStored, own.HighBit, own.SamplesPerPixel = 16, 16, 15, 1
    own.PixelRepresentation, own.PhotometricInterpretation = 1, "MONOCHROME2"
    own.RescaleSlope, own.RescaleIntercept = 2, -1000
    own.PixelData = pixels.astype("<i2").tobytes()
    for tag, value in changes.items():
        if value is None:
            delattr(own, tag)
        else:
            setattr(own, tag, value)
    if packed:
        own.compress(RLELossless, generate_instance_uid=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    own.save_as(path, enforce_file_format=True)


def folder(root, sets, patients=2, slices=3):
    """`sets`/patient/number.dcm, 32 x 40 pixels of random numbers; every third is compressed."""
    rng, number = np.random.default_rng(0), 0
    for name in sets:
        for patient in range(patients):
            for place in range(slices):
                number += 1
                pixels = rng.integers(0, 1500, (32, 40))
                save(
                    root / name / f"p{patient}" / f"{place}.dcm",
                    pixels,
                    f"P{patient}",
                    f"1.2.{number}",
                    number % 3 == 0,
                )
