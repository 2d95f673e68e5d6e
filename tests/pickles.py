"""Pickles as CIFAR's were written in 2009."""

import io
import pickle
import struct


class _Python2(pickle._Pickler):
    """Writes texts and bytes as Python 2 wrote them, in 2009, and numpy's function where it lay then."""

    def save_text(self, text):
        body = text if isinstance(text, bytes) else text.encode("latin1")
        self.write(pickle.BINSTRING + struct.pack("<i", len(body)) + body)

    def save_global(self, obj, name=None):
        if getattr(obj, "__name__", "") == "_reconstruct":
            self.write(b"cnumpy.core.multiarray\n_reconstruct\n")
        else:
            super().save_global(obj, name)

    dispatch = pickle._Pickler.dispatch | {str: save_text, bytes: save_text, type: pickle._Pickler.save_type}


def pickled(table):
    """The bytes of a table of texts, numbers and arrays."""
    stream = io.BytesIO()
    _Python2(stream, 2).dump(table)
    return stream.getvalue()
