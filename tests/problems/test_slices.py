"""Slices of CT: Hounsfield units by the header, what a window makes of them, and files that are none."""

import numpy as np
import pytest

from gradsurgery.problems._slices import hounsfield, identity, picture
from tests.dicoms import save

PIXELS = np.arange(16 * 20).reshape(16, 20)


@pytest.mark.parametrize("packed", [False, True])
def test_units_are_slope_and_intercept_and_the_window_is_what_becomes_bytes(tmp_path, packed):
    path = tmp_path / "a.dcm"
    save(path, PIXELS, " P7 ", "1.2.9", packed)
    np.testing.assert_array_equal(hounsfield(path), 2 * PIXELS - 1000)
    assert hounsfield(path).dtype == np.float32
    assert identity(path) == ("P7", "1.2.9")
    found = picture(path, (-900.0, -500.0))
    assert (found.mode, found.size) == ("RGB", (20, 16))
    expected = np.rint(255 * np.clip((2 * PIXELS - 100) / 400, 0, 1))
    np.testing.assert_array_equal(np.asarray(found), np.repeat(expected[..., None], 3, axis=2))


def test_lossless_jpeg_is_read_where_gdcm_is_installed(tmp_path):
    gdcm = pytest.importorskip("gdcm", reason="package python-gdcm is not installed: the extra `ct`")
    path, packed = tmp_path / "a.dcm", tmp_path / "packed.dcm"
    save(path, PIXELS)
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(packed))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    np.testing.assert_array_equal(hounsfield(packed), 2 * PIXELS - 1000)


def test_what_is_no_slice_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "a.dcm"

    def refused(message, read=hounsfield):
        with pytest.raises(ValueError, match=message) as caught:
            read(path)
        assert "\n" not in str(caught.value)

    refused(r"a\.dcm must be a whole slice in DICOM, found FileNotFoundError")
    for packed in (False, True):
        save(path, PIXELS, packed=packed)
        body = path.read_bytes()
        for end in (40, len(body) // 2, len(body) - 30):
            path.write_bytes(body[:end])
            refused(r"a\.dcm must be a whole slice in DICOM, found \w+: ")
    path.write_bytes(body[:40])
    refused(r"a\.dcm must be a whole slice in DICOM, found InvalidDicomError: ", identity)
    save(path, PIXELS, Modality="RTSTRUCT", PixelData=None)  # contours, beside slices of RADCURE
    refused(r"must be a slice of CT, found RTSTRUCT\.")
    save(path, PIXELS, Modality=None)  # the class of the file says CT
    np.testing.assert_array_equal(hounsfield(path), 2 * PIXELS - 1000)
    save(path, PIXELS, Modality=None, kind="1.2.840.10008.5.1.4.1.1.4")
    refused(r"must be a slice of CT, found nothing that says so\.")
    save(path, PIXELS[:9])
    refused(r"must be one slice of at least 16 x 16 pixels, found \(9, 20\)\.")
    save(path, np.zeros((32, 20)), NumberOfFrames=2, Rows=16)
    refused(r"must be one slice of at least 16 x 16 pixels, found \(2, 16, 20\)\.")
    save(path, PIXELS, RescaleIntercept=None)
    refused(r"must be a whole slice in DICOM, found AttributeError: .*RescaleIntercept")
    save(path, PIXELS, RescaleSlope="1e39")
    refused(r"must have a slope and an intercept below 1e\+06, found 1e\+39 and -1000\.0\.")
    save(path, PIXELS, patient="")
    refused("must say its PatientID, found none", identity)
    save(path, PIXELS, SOPInstanceUID=None)
    refused("must say its SOPInstanceUID, found none", identity)
