"""Fetching: what a server, a mirror and a full or broken target can do wrong. The server is ours, on loopback."""

import gzip
import hashlib
import http.server
import io
import struct
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
import yaml

import pipelines._sources
from pipelines.fetch import AbsentError, SourceError, check, fetch, main

ARRAYS = {
    "train_images": ("train-images-idx3-ubyte", np.random.default_rng(0).integers(0, 256, (64, 28, 28), np.uint8)),
    "train_labels": ("train-labels-idx1-ubyte", np.arange(64, dtype=np.uint8) % 10),
}


def _idx(array):
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def _tgz(folder, suffix=""):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for file, array in ARRAYS.values():
            body = gzip.compress(_idx(array)) if suffix else _idx(array)
            info = tarfile.TarInfo(f"{folder}/{file}{suffix}")
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return stream.getvalue()


def _deb():
    def member(name, body):
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(body):<10}`\n".encode()
        return header + body + b"\n" * (len(body) % 2)

    return b"!<arch>\n" + member("debian-binary", b"2.0\n\n") + member("data.tar.gz", _tgz("./usr/share", ".gz"))


class _Server:
    """Serves bodies by path; `faults` spoils the first answers: each is a function of the body."""

    def __init__(self):
        self.bodies = {f"/data/{file}.gz": gzip.compress(_idx(array)) for file, array in ARRAYS.values()}
        self.bodies |= {"/p.tgz": _tgz("package/data"), "/p.deb": _deb()}
        self.requests = []  # (path, Range header)
        self.truncate = 0  # how many answers end after half the body
        self.corrupt = 0  # how many answers have a byte changed
        self.ranges = True
        self.status = None
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                wanted = self.headers.get("Range")
                server.requests.append((self.path, wanted))
                if server.status or self.path not in server.bodies:
                    self.send_error(server.status or 404)
                    return
                body = server.bodies[self.path]
                first = int(wanted[6:].split("-")[0]) if wanted and server.ranges else 0
                if server.corrupt:
                    server.corrupt -= 1
                    body = body[:40] + bytes([body[40] ^ 1]) + body[41:]
                body = body[first:]
                self.send_response(206 if first else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if server.truncate:
                    server.truncate -= 1
                    body = body[: len(body) // 2]
                self.wfile.write(body)

            def log_message(self, format, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def server(monkeypatch):
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    # No package manager and no waiting: what a test needs comes from the server, at once.
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    served = _Server()
    yield served
    served.http.shutdown()
    served.http.server_close()


def _dataset(*sources):
    pins = {
        name: {"file": file, "sha256": hashlib.sha256(array.tobytes()).hexdigest()}
        for name, (file, array) in ARRAYS.items()
    }
    return {"title": "Ones and zeros", "licence": "none needed", "arrays": pins, "sources": list(sources)}


def _files(server):
    return _dataset({"kind": "files", "url": f"{server.url}/data/"})


@pytest.fixture
def go(tmp_path):
    def run(dataset, mirror=None):
        fetch("ones", dataset, tmp_path / "raw", tmp_path / "cache", mirror)

    return run


def _assert_complete(tmp_path):
    assert sorted(p.name for p in (tmp_path / "raw").iterdir()) == ["ones"]
    for name, (_, array) in ARRAYS.items():
        np.testing.assert_array_equal(np.load(tmp_path / "raw/ones" / f"{name}.npy"), array)
    assert not (tmp_path / "cache/ones").exists()


def test_official_files(server, go, tmp_path, capsys):
    go(_files(server))
    _assert_complete(tmp_path)
    assert len(server.requests) == 2
    assert "Licence: none needed" in capsys.readouterr().out


@pytest.mark.parametrize(("kind", "path"), [("npm", "/p.tgz"), ("deb", "/p.deb")])
def test_packages(server, go, tmp_path, kind, path):
    go(_dataset({"kind": kind, "package": "p", "version": "1", "url": server.url + path}))
    _assert_complete(tmp_path)


def test_what_is_there_and_right_is_left_alone(server, go, tmp_path):
    go(_files(server))
    server.requests.clear()
    go(_files(server))
    assert server.requests == []


def test_a_damaged_target_is_fetched_anew(server, go, tmp_path):
    go(_files(server))
    path = tmp_path / "raw/ones/train_labels.npy"
    path.write_bytes(path.read_bytes()[:-3])
    go(_files(server))
    _assert_complete(tmp_path)


def test_a_cut_off_answer_is_continued_where_it_ended(server, go, tmp_path):
    server.truncate = 1
    go(_files(server))
    _assert_complete(tmp_path)
    half = len(server.bodies[server.requests[0][0]]) // 2
    (first, nothing), (again, wanted), *_ = server.requests
    assert (again, nothing) == (first, None)
    assert 0 < int(wanted.removeprefix("bytes=").removesuffix("-")) <= half


def test_a_server_without_ranges_makes_it_start_again(server, go, tmp_path):
    server.truncate, server.ranges = 1, False
    go(_files(server))
    _assert_complete(tmp_path)


def test_an_interrupted_run_is_continued_by_the_next(server, go, tmp_path):
    path, body = next(iter(server.bodies.items()))
    part = tmp_path / "cache/ones" / (Path(path).name + ".part")
    part.parent.mkdir(parents=True)
    part.write_bytes(body[:100])
    go(_files(server))
    _assert_complete(tmp_path)
    assert (path, "bytes=100-") in server.requests


def test_a_wrong_leftover_is_removed_and_everything_fetched_anew(server, go, tmp_path):
    path, body = next(iter(server.bodies.items()))
    part = tmp_path / "cache/ones" / (Path(path).name + ".part")
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(len(body) - 7))
    go(_files(server))
    _assert_complete(tmp_path)


def test_a_corrupted_answer_is_fetched_anew(server, go, tmp_path):
    server.corrupt = 1
    go(_files(server))
    _assert_complete(tmp_path)
    assert len(server.requests) == 4


def test_a_source_that_stays_wrong_gives_way_to_the_next(server, go, tmp_path, capsys):
    server.bodies["/data/train-labels-idx1-ubyte.gz"] = gzip.compress(_idx(np.zeros(64, np.uint8)))
    go(_dataset({"kind": "files", "url": f"{server.url}/data"},
                {"kind": "npm", "package": "p", "version": "1", "url": f"{server.url}/p.tgz"}))  # fmt: skip
    _assert_complete(tmp_path)
    out = capsys.readouterr().out
    assert "train-labels-idx1-ubyte has sha256" in out
    assert "npm is not installed" in out


def test_server_errors_are_retried_but_not_for_ever(server, go, tmp_path):
    server.status = 503
    with pytest.raises(SourceError, match="the server answered 503"):
        go(_files(server))
    assert len(server.requests) == 4


def test_when_all_fail_the_error_says_why_and_what_to_do(server, go, tmp_path):
    dataset = _dataset(
        {"kind": "files", "url": f"{server.url}/nowhere"},
        {"kind": "npm", "package": "p", "version": "1.2", "url": "http://127.0.0.1:9/p.tgz"},
    )
    with pytest.raises(SourceError) as caught:
        go(dataset)
    message = str(caught.value)
    assert message.startswith("no source gave the data set ones.\n")
    assert f"{server.url}/nowhere: the server answered 404" in message
    assert "npm pack p@1.2: npm is not installed" in message
    assert "http://127.0.0.1:9/p.tgz: no connection" in message
    assert "GRADSURGERY_MIRROR: not set" in message
    for pin in dataset["arrays"].values():
        assert pin["file"] in message
        assert pin["sha256"] in message
    assert list((tmp_path / "raw").iterdir()) == []
    assert len(server.requests) == 1  # 404 and a refused connection are final


@pytest.mark.parametrize("form", ["plain", "gz", "tgz", "deb"])
def test_a_mirror_is_the_last_resort(server, go, tmp_path, form):
    folder = tmp_path / "mirror/ones"
    folder.mkdir(parents=True)
    (folder / "README").write_text("not wanted")
    if form in ("tgz", "deb"):
        (folder / f"package.{form}").write_bytes(_tgz("x") if form == "tgz" else _deb())
    else:
        for file, array in ARRAYS.values():
            if form == "gz":
                (folder / f"{file}.gz").write_bytes(gzip.compress(_idx(array)))
            else:
                (folder / file).write_bytes(_idx(array))
    before = sorted(folder.iterdir())
    go(_dataset(), mirror=tmp_path / "mirror")
    _assert_complete(tmp_path)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda body: body[:-1] + bytes([body[-1] ^ 1]), "train-labels-idx1-ubyte has sha256"),
        (lambda body: body[:-1], "train-labels-idx1-ubyte is cut off"),
        (lambda body: b"<html>", "train-labels-idx1-ubyte is no IDX file"),
        (lambda body: None, "train-labels-idx1-ubyte is missing"),
    ],
)
def test_a_mirror_with_a_wrong_file(server, go, tmp_path, spoil, reason):
    folder = tmp_path / "mirror/ones"
    folder.mkdir(parents=True)
    for file, array in ARRAYS.values():
        body = spoil(_idx(array)) if "labels" in file else _idx(array)
        if body is not None:
            (folder / file).write_bytes(body)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(SourceError, match=reason):
        go(_dataset(), mirror=tmp_path / "mirror")
    assert list((tmp_path / "raw").iterdir()) == []
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_damaged_package_is_named(server, go, tmp_path):
    folder = tmp_path / "mirror/ones"
    folder.mkdir(parents=True)
    (folder / "p.deb").write_bytes(_deb()[:-200])
    with pytest.raises(SourceError, match=r"p\.deb is damaged or cut off"):
        go(_dataset(), mirror=tmp_path / "mirror")


def test_a_target_that_cannot_be_written(server, go, tmp_path):
    (tmp_path / "raw").write_text("a file where a folder should be")
    with pytest.raises(OSError, match="raw"):
        go(_files(server))
    assert server.requests == []


def test_a_failing_package_manager_gives_its_last_words(server, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: name)
    way = pipelines._sources._command("sh", "-c", "echo first; echo no such package; exit 7")
    with pytest.raises(SourceError, match="exit code 7: no such package"):
        way.obtain(tmp_path)


def test_a_source_package_whose_files_have_other_names(server, go, tmp_path):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        info = tarfile.TarInfo("p-1/data/packaged.csv")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"1,2"))
    server.bodies["/p-1.tar.gz"] = stream.getvalue()
    pin = {"file": "a.data", "packaged": "packaged.csv", "format": "bytes"}
    dataset = {
        "title": "T", "licence": "L", "arrays": {"a": pin | {"sha256": hashlib.sha256(b"1,2").hexdigest()}},
        "sources": [{"kind": "pypi", "package": "p", "version": "1", "url": f"{server.url}/p-1.tar.gz"}],
    }  # fmt: skip
    go(dataset)
    assert np.load(tmp_path / "raw/ones/a.npy").tobytes() == b"1,2"


def test_an_unknown_format_or_kind_is_refused(server, go):
    dataset = _files(server)
    dataset["arrays"]["train_labels"]["format"] = "csv"
    with pytest.raises(ValueError, match=r"`format` must be idx, bytes, cifar100_images or .* found 'csv'"):
        go(dataset)
    with pytest.raises(ValueError, match="must be files, archive, npm, pypi or deb, found 'ftp'"):
        go(_dataset({"kind": "ftp", "url": server.url}))


def test_nothing_had_and_something_wrong_are_told_apart(server, go, tmp_path):
    nowhere = {"kind": "files", "url": f"{server.url}/nowhere"}
    with pytest.raises(AbsentError):
        go(_dataset(nowhere))
    server.bodies["/data/train-labels-idx1-ubyte.gz"] = gzip.compress(_idx(np.zeros(64, np.uint8)))
    with pytest.raises(SourceError) as caught:
        go(_dataset({"kind": "files", "url": f"{server.url}/data"}, nowhere))
    assert not isinstance(caught.value, AbsentError)
    (tmp_path / "mirror/ones").mkdir(parents=True)  # a mirror that lacks the files is a mistake, not an absence
    with pytest.raises(SourceError) as caught:
        go(_dataset(nowhere), mirror=tmp_path / "mirror")
    assert not isinstance(caught.value, AbsentError)


def test_asking_downloads_nothing(server, go, tmp_path, capsys):
    raw, nowhere = tmp_path / "raw", {"kind": "files", "url": f"{server.url}/nowhere"}
    with pytest.raises(AbsentError, match=r"GRADSURGERY_MIRROR: not set\n.*the server answered 404\nBy hand"):
        check("ones", _dataset(nowhere), raw, None)
    with pytest.raises(AbsentError, match="no folder"):
        check("ones", _dataset(nowhere), raw, tmp_path)
    with pytest.raises(AbsentError, match=r"http://127.0.0.1:9/p\.tgz: no connection"):
        check("ones", _dataset({"kind": "archive", "url": "http://127.0.0.1:9/p.tgz"}), raw, None)
    server.requests.clear()
    check("ones", _dataset(nowhere, *_files(server)["sources"]), raw, None)
    assert [wanted for _, wanted in server.requests] == ["bytes=0-0"] * 2
    assert f"could be had from {server.url}/data/" in capsys.readouterr().out
    assert not raw.exists()
    go(_files(server))
    server.requests.clear()
    check("ones", _dataset(nowhere), raw, None)
    assert server.requests == []


@pytest.mark.parametrize("options", [[], ["--check"]])
def test_the_exit_code_says_that_nothing_could_be_had(server, tmp_path, monkeypatch, capsys, options):
    root = Path(__file__).parents[2]
    document = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    document["datasets"]["mnist"]["sources"] = [{"kind": "archive", "url": "http://127.0.0.1:9/p.tgz"}]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("GRADSURGERY_MIRROR", raising=False)
    monkeypatch.setattr("sys.argv", ["fetch", "mnist", *options])
    assert main() == 3
    assert "set GRADSURGERY_MIRROR=<any>:" in capsys.readouterr().err


def test_real_data_is_what_is_pinned():
    root = Path(__file__).parents[2]
    if not (root / "data/raw/mnist").is_dir():
        pytest.skip("data/raw/mnist is not there: run `dvc repro fetch@mnist`")
    images = np.load(root / "data/raw/mnist/train_images.npy")
    labels = np.load(root / "data/raw/mnist/train_labels.npy")
    assert images.shape == (60_000, 28, 28)
    assert images.mean() == pytest.approx(33.318, abs=1e-3)
    assert np.bincount(labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


def test_the_real_cifar100_is_complete_and_in_order():
    root = Path(__file__).parents[2]
    if not (root / "data/raw/cifar100").is_dir():
        pytest.skip("data/raw/cifar100 is not there: set GRADSURGERY_MIRROR if need be, run `dvc repro fetch@cifar100`")
    images = np.load(root / "data/raw/cifar100/train_images.npy")
    labels = np.load(root / "data/raw/cifar100/train_labels.npy")
    assert images.shape == (50_000, 32, 32, 3)
    np.testing.assert_array_equal(labels, np.repeat(np.arange(100), 500))
    np.testing.assert_allclose(images.mean((0, 1, 2)) / 255, [0.50708, 0.48655, 0.44092], atol=1e-5)
