"""Files over HTTP that go on where an earlier try stopped, and why one did not come."""

import time
from collections.abc import Sequence
from pathlib import Path

import requests
from tqdm import tqdm
from urllib3.exceptions import HTTPError, MaxRetryError, NewConnectionError, ProxyError

_CONNECT_S, _READ_S = 5, 15  # seconds without an answer before a try counts as failed
_TRIES = 4  # downloads of one file; the pause before a new one is 1, 2, 4 seconds
_LEAST, _SLOW_S = 2**16, 60  # a server that sends fewer bytes in so many seconds is given up: it would never end


class SourceError(Exception):
    """Why one source, or none of them, gave the data set."""


def download(urls: Sequence[str], folder: Path) -> None:
    for url in urls:
        path = folder / url.rsplit("/", 1)[1]
        if not path.exists():
            _one(url, path)


def _one(url: str, path: Path) -> None:
    """Downloads one file, going on where an earlier try stopped; `path` appears only when all bytes are there."""
    part = path.with_name(path.name + ".part")
    reason = ""
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(2.0 ** (attempt - 1))
        try:
            if _continue(url, part):
                part.rename(path)
                return
            reason = "the connection ended early"
        except requests.HTTPError as error:
            status = error.response.status_code
            reason = f"the server answered {status}"
            if status < 500 and status not in (408, 429):
                break
        except requests.RequestException as error:
            cause = error.args[0] if error.args else None
            reason = _why(error)
            if isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError | ProxyError):
                break  # refused, or no such host: that does not change within seconds
        except HTTPError:  # while the body came
            reason = "the connection ended early"
    raise SourceError(reason)


def knock(url: str) -> None:
    """Asks for the first byte of a file, once; a server that begins to send the whole file is not heard out."""
    try:
        with requests.get(url, headers={"Range": "bytes=0-0"}, stream=True, timeout=_CONNECT_S) as answer:
            if answer.status_code >= 400 and answer.status_code != 429:
                raise SourceError(f"the server answered {answer.status_code}")
    except requests.RequestException as error:
        raise SourceError(_why(error)) from None


def _why(error: requests.RequestException) -> str:
    return "no answer" if isinstance(error, requests.Timeout) else f"no connection ({type(error).__name__})"


def _continue(url: str, part: Path) -> bool:
    """One try. True when the file is complete."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=(_CONNECT_S, _READ_S)) as answer:
        if answer.status_code == 416:  # more bytes here than there: not this file
            part.unlink()
            return False
        answer.raise_for_status()
        if answer.status_code != 206:
            have = 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        with (
            part.open("ab" if have else "wb") as file,
            tqdm(desc=f"  {part.stem}", total=total, initial=have, unit="B", unit_scale=True, disable=None) as bar,
        ):
            came, since = 0, time.monotonic()
            # What has arrived, as it is: a read that waits for a whole block would wait for ever on a trickle.
            while chunk := answer.raw.read1(2**16, decode_content=False):
                file.write(chunk)
                bar.update(len(chunk))
                came += len(chunk)
                if came >= _LEAST:
                    came, since = 0, time.monotonic()
                elif time.monotonic() - since > _SLOW_S:
                    raise SourceError(f"only {came} bytes came in {_SLOW_S} seconds")
    return total is None or part.stat().st_size == total
