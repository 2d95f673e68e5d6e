"""Fetching: what a server, a mirror and a full or broken target can do wrong. The server is ours, on loopback."""

import gzip
import hashlib
import http.server
import io
import shutil
import socket
import struct
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml

import pipelines._download
import pipelines._knock
import pipelines._sources
import pipelines.fetch
from pipelines._datasets import read_datasets
from pipelines._download import SourceError
from pipelines._knock import mirror_folder, unreachable
from pipelines._params import CHECKED, sha256_of
from pipelines.fetch import bring, check, fetch, main

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


def _whl():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("p/__init__.py", "raise RuntimeError")
        for file, array in ARRAYS.values():
            archive.writestr(f"p/data/{file}.gz", gzip.compress(_idx(array)))
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
        self.bodies |= {"/p.tgz": _tgz("package/data")}
        self.requests = []  # (path, Range header)
        self.truncate = 0  # how many answers end after half the body
        self.corrupt = 0  # how many answers have a byte changed
        self.ranges = True
        self.status = None
        self.trickle = False
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
                if server.trickle:
                    for byte in body:
                        self.wfile.write(bytes([byte]))
                        threading.Event().wait(0.02)
                self.wfile.write(body)

            def log_message(self, format, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def client(tmp_path, monkeypatch):
    """Puts a program of our own in the place of a client: it writes down what it was asked, and leaves files."""
    (tmp_path / "bin").mkdir()
    monkeypatch.chdir(tmp_path / "bin")  # a question is asked wherever one is
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.setattr("sys.executable", str(tmp_path / "bin/python"))
    monkeypatch.setattr("shutil.which", lambda n: ((p := tmp_path / "bin" / Path(n).name).exists() and str(p)) or None)

    def made(program, files, says="", code=0, hang=False):
        for name, body in files.items():
            (tmp_path / name).write_bytes(body)
        lines = [f'echo "$*" > {tmp_path}/asked', *(f"cp {tmp_path / name} ." for name in files)]
        lines += [f"sleep 60 & echo $! > {tmp_path}/child; wait"] if hang else []
        lines += [f"echo '{says}'", f"exit {code}"]
        (tmp_path / "bin" / program).write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
        (tmp_path / "bin" / program).chmod(0o755)
        return tmp_path / "asked"

    return made


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


@pytest.fixture
def silent(monkeypatch):
    """An address where somebody accepts every connection and never answers."""
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


def _dataset(*sources):
    pins = {
        name: {"file": file, "sha256": hashlib.sha256(array.tobytes()).hexdigest()}
        for name, (file, array) in ARRAYS.items()
    }
    return {"title": "Ones and zeros", "licence": "none needed", "arrays": pins, "sources": list(sources)}


def _read(dataset):
    """What params.yaml and data/pins.yaml would make of it."""
    arrays = {name: {k: v for k, v in pin.items() if k != "sha256"} for name, pin in dataset["arrays"].items()}
    pins = {name: pin["sha256"] for name, pin in dataset["arrays"].items() if "sha256" in pin}
    return read_datasets({"ones": {**dataset, "arrays": arrays}}, {"ones": pins})


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


@pytest.mark.parametrize(
    ("kind", "program", "command", "name", "body"),
    [
        ("npm", "npm", "pack p@1 --ignore-scripts", "p-1.tgz", _tgz("package/data")),
        ("deb", "apt-get", "download p", "p_1_all.deb", _deb()),
        ("pypi", "python", "-m pip download --quiet --no-deps --no-binary :all: p==1", "p-1.tar.gz", _tgz("p-1/data")),
        (
            "wheel",
            "python",
            "-m pip download --quiet --no-deps --only-binary :all: p==1",
            "p-1-py3-none-any.whl",
            _whl(),
        ),
    ],
)
def test_packages_come_through_the_users_own_client(go, tmp_path, client, kind, program, command, name, body):
    asked = client(program, {name: body})
    go(_dataset({"kind": kind, "package": "p", "version": "1"}))
    _assert_complete(tmp_path)
    assert asked.read_text().startswith(command)


@pytest.mark.parametrize(
    ("kind", "program", "question", "reason"),
    [
        ("npm", "npm", "view p@1 version --fetch-retries=0", "npm pack p@1"),
        ("deb", "apt-get", "download --print-uris p", "apt-get download p"),
        ("pypi", "python", "-m pip index versions p --retries=0", "pip download p==1"),
    ],
)
def test_a_client_is_asked_without_downloading(tmp_path, client, kind, program, question, reason):
    dataset = {"ones": _dataset({"kind": kind, "package": "p", "version": "1"})}
    asked = client(program, {}, says="p (1)")
    assert unreachable(dataset, None) == {}
    assert asked.read_text().startswith(question)
    client(program, {}, says="npm error 404 no such package", code=1)
    (told, _) = unreachable(dataset, None)["ones"]
    assert reason in told
    assert "exit code 1: npm error 404 no such package" in told
    (tmp_path / "bin" / program).unlink()
    assert f"{program} is not installed" in unreachable(dataset, None)["ones"][0]


def test_a_package_index_without_the_version_is_not_open(client):
    client("python", {}, says="Available versions: 0.9, 0.8")
    (told, _) = unreachable({"ones": _dataset({"kind": "pypi", "package": "p", "version": "1"})}, None)["ones"]
    assert told.endswith("no version 1")


def test_a_client_that_hangs_is_ended_with_its_children(tmp_path, monkeypatch, client):
    client("npm", {}, hang=True)
    monkeypatch.setattr(pipelines._sources, "_COMMAND_S", 1.0)
    way = pipelines._sources.ways("ones", _dataset({"kind": "npm", "package": "p", "version": "1"}))[0]
    started = time.monotonic()
    with pytest.raises(SourceError, match=r"no end after 1 seconds"):
        way.obtain(tmp_path)
    assert time.monotonic() - started < 10, "it must not wait for the child to end by itself"
    child = int((tmp_path / "child").read_text())
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() - started < 20, "the child lives on"
        time.sleep(0.01)


@pytest.mark.parametrize("alive", ["address", "client", "own", "mirror"])
def test_with_every_other_source_dead_the_one_left_is_taken(server, tmp_path, go, client, alive):
    client("npm", {"p-1.tgz": _tgz("package/data")}, code=0 if alive == "client" else 1)
    own = tmp_path / "own.npz"
    if alive == "own":
        np.savez(own, **{name: array for name, (_, array) in ARRAYS.items()})
    mirror = tmp_path / "mirror"
    if alive == "mirror":
        (mirror / "ones").mkdir(parents=True)
        (mirror / "ones/p.tgz").write_bytes(_tgz("x"))
    server.status = None if alive == "address" else 503
    dataset = _dataset(
        {"kind": "files", "url": f"{server.url}/data/"}, {"kind": "npm", "package": "p", "version": "1"},
        {"kind": "file", "path": str(own)},
    )  # fmt: skip
    assert unreachable({"ones": dataset}, mirror) == {}
    go(dataset, mirror=mirror)
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
                {"kind": "npm", "package": "p", "version": "1"},
                {"kind": "archive", "url": f"{server.url}/p.tgz"}))  # fmt: skip
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
        {"kind": "npm", "package": "p", "version": "1.2"},
        {"kind": "archive", "url": "http://127.0.0.1:9/p.tgz"},
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


@pytest.mark.parametrize("form", ["plain", "gz", "tgz", "deb", "npy"])
def test_a_mirror_is_the_last_resort(server, go, tmp_path, form):
    folder = tmp_path / "mirror/ones"
    folder.mkdir(parents=True)
    (folder / "README").write_text("not wanted")
    if form in ("tgz", "deb"):
        (folder / f"package.{form}").write_bytes(_tgz("x") if form == "tgz" else _deb())
    else:
        for file, array in ARRAYS.values():
            if form == "npy":
                (name,) = [name for name, (other, _) in ARRAYS.items() if other == file]
                np.save(folder / f"{name}.npy", array)
            elif form == "gz":
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
    for name, body in (
        ("p.deb", _deb()[:-200]),
        ("p.whl", _whl()[:-30]),
        ("p.whl", _whl().replace(b"\x1f\x8b", b"\0\0")),
    ):
        (folder / name).write_bytes(body)
        with pytest.raises(SourceError, match=rf"{name} is damaged or cut off"):
            go(_dataset(), mirror=tmp_path / "mirror")
        (folder / name).unlink()


def test_a_target_that_cannot_be_written(server, go, tmp_path):
    (tmp_path / "raw").write_text("a file where a folder should be")
    with pytest.raises(OSError, match="raw"):
        go(_files(server))
    assert server.requests == []


def test_a_failing_package_manager_gives_its_last_words(tmp_path, client):
    client("npm", {}, says="first\nno such package", code=7)
    way = pipelines._sources.ways("ones", _dataset({"kind": "npm", "package": "p", "version": "1"}))[0]
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
        "sources": [{"kind": "archive", "url": f"{server.url}/p-1.tar.gz"}],
    }  # fmt: skip
    go(dataset)
    assert np.load(tmp_path / "raw/ones/a.npy").tobytes() == b"1,2"


def test_an_unknown_format_or_kind_is_refused(server, go):
    dataset = _files(server)
    dataset["arrays"]["train_labels"]["format"] = "csv"
    with pytest.raises(ValueError, match=r"`format` must be idx, bytes, cifar100_images, .* found 'csv'"):
        go(dataset)
    with pytest.raises(ValueError, match=r"sources\[0\]\.kind` must be one of files, .* found 'ftp'"):
        go(_dataset({"kind": "ftp", "url": server.url}))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"kind": "npm", "package": "p"}, r"`datasets.ones.sources\[0\]` must hold `version`"),
        ({"kind": "npm", "package": "p", "version": "1", "url": "x"}, r"`datasets.ones.sources\[0\].url` is no field"),
        (
            {"kind": "npm", "package": "p", "version": 1.2},
            r"sources\[0\].version` must be text, in quotes .* found 1.2",
        ),
        ({"kind": "python", "function": "load_digits"}, "must be written module:function, found 'load_digits'"),
    ],
)
def test_a_source_written_wrongly_is_refused(go, source, said):
    with pytest.raises(ValueError, match=said):
        go(_dataset(source))
    with pytest.raises(ValueError, match=said):
        _read(_dataset(source))
    with pytest.raises(ValueError, match=r"`datasets.ones.optional` is no field of it"):
        _read(_dataset() | {"optional": True})


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("file", r"`datasets\.ones\.arrays\.train_labels` must hold `file`"),
        ("sha256", r"`data/pins\.yaml` must hold the sha256 of `datasets\.ones\.train_labels`, found none\."),
    ],
)
def test_what_is_downloaded_must_be_pinned(server, missing, said):
    dataset = _files(server)
    del dataset["arrays"]["train_labels"][missing]
    with pytest.raises(ValueError, match=said):
        _read(dataset)


def test_a_trickle_is_given_up(server, go, monkeypatch):
    monkeypatch.setattr(pipelines._download, "_SLOW_S", 0.3)
    server.trickle = True
    started = time.monotonic()
    with pytest.raises(SourceError, match=r"only \d+ bytes came in 0\.3 seconds"):
        go(_files(server))
    assert time.monotonic() - started < 5


def test_a_server_that_accepts_and_says_nothing_is_given_up(go, silent, monkeypatch):
    monkeypatch.setattr(pipelines._download, "_READ_S", 0.1)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(SourceError, match=rf"{silent}p\.tgz: no answer"):
        go(_dataset({"kind": "archive", "url": f"{silent}p.tgz"}))


def test_asking_downloads_nothing(server, go, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pipelines.fetch, "RAW", tmp_path / "raw")
    nowhere = {"kind": "files", "url": f"{server.url}/nowhere"}
    refused, unset = check({"ones": _dataset(nowhere)}, None)["ones"]
    assert "the server answered 404" in refused
    assert unset == "GRADSURGERY_MIRROR: not set"
    assert "no folder" in check({"ones": _dataset(nowhere)}, tmp_path)["ones"][1]
    server.requests.clear()
    assert check({"ones": _dataset(nowhere, *_files(server)["sources"])}, None) == {}
    assert {wanted for _, wanted in server.requests} == {"bytes=0-0"}
    assert "ones: could be had." in capsys.readouterr().out
    assert not (tmp_path / "raw").exists()
    go(_files(server))
    server.requests.clear()
    assert check({"ones": _dataset(nowhere)}, None) == {}
    assert server.requests == []


def test_what_cannot_be_had_keeps_nothing_else_from_coming(server, tmp_path, monkeypatch):
    monkeypatch.setattr(pipelines.fetch, "RAW", tmp_path / "raw")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    dead, wrong = ({"kind": "archive", "url": url} for url in ("http://127.0.0.1:9/p.tgz", f"{server.url}/p.tgz"))
    server.bodies["/p.tgz"] = b"nothing of the sort"
    absent = bring({"dead": _dataset(dead), "ones": _files(server), "wrong": _dataset(wrong)}, None)
    assert sorted(absent) == ["dead", "wrong"]
    assert absent["dead"][0] == "http://127.0.0.1:9/p.tgz: no connection (ConnectionError)"
    assert absent["wrong"][0].startswith(f"{server.url}/p.tgz: ")
    assert [path.name for path in (tmp_path / "raw").iterdir()] == ["ones"]


def test_what_needs_a_package_that_is_not_installed_is_not_asked_for_and_of_no_use_where_it_is(
    server, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(pipelines.fetch, "RAW", tmp_path / "raw")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    there, needing = _files(server), _files(server) | {"needs": {"rl": ["numpy", "no_such_module"]}}
    assert _read(needing)["ones"]["needs"] == needing["needs"]
    (tmp_path / "raw/needing").mkdir(parents=True)
    why = "package `no_such_module` must be installed, found no such module: pip install 'gradsurgery[rl]'"
    for ask in (bring, check):
        assert ask({"needing": needing, "other": needing, "ones": there}, None) == {"needing": [why], "other": [why]}
    assert [path.name for path in sorted((tmp_path / "raw").iterdir())] == ["needing", "ones"]
    assert capsys.readouterr().out.count("needing") == 0
    assert bring({"numpy": there | {"needs": {"rl": ["numpy"]}}}, None) == {}
    with pytest.raises(ValueError, match=r"`datasets\.ones\.needs` must be a block of named values"):
        _read(there | {"needs": ["numpy"]})


def test_all_are_asked_side_by_side_and_nobody_is_waited_for(server, silent, monkeypatch):
    hanging, dead = {"kind": "archive", "url": f"{silent}p.tgz"}, {"kind": "archive", "url": "http://127.0.0.1:9/p"}
    datasets = {f"hanging{n}": _dataset(hanging, dead) for n in range(5)}
    datasets |= {"dead": _dataset(dead), "open": _dataset(hanging, dead, *_files(server)["sources"])}
    started = time.monotonic()
    found = unreachable(datasets, None, 0.6)
    assert time.monotonic() - started < 2
    assert sorted(found) == ["dead", *(f"hanging{n}" for n in range(5))]
    assert found["hanging0"][0] == f"{silent}p.tgz: no answer"
    assert found["dead"] == ["http://127.0.0.1:9/p: no connection (ConnectionError)", "GRADSURGERY_MIRROR: not set"]
    # without a hanging one nobody waits at all
    started = time.monotonic()
    unreachable({"dead": datasets["dead"], "ones": _files(server)}, None, 60)
    assert time.monotonic() - started < 5


def test_a_mirror_that_is_no_folder_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("GRADSURGERY_MIRROR", str(tmp_path / "none"))
    with pytest.raises(ValueError, match=r"`GRADSURGERY_MIRROR` must be a folder, found '.*none'"):
        mirror_folder()
    monkeypatch.setenv("GRADSURGERY_MIRROR", "")
    assert mirror_folder() is None


@pytest.mark.parametrize("options", [[], ["--check"]])
def test_the_exit_code_says_that_nothing_could_be_had(server, tmp_path, monkeypatch, capsys, options):
    root = Path(__file__).parents[2]
    document = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    document["datasets"]["mnist"]["sources"] = [{"kind": "archive", "url": "http://127.0.0.1:9/p.tgz"}]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    (tmp_path / "data").mkdir()
    shutil.copy(root / "data/pins.yaml", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("GRADSURGERY_MIRROR", raising=False)
    monkeypatch.setenv(CHECKED, sha256_of(tmp_path / "params.yaml"))  # the lines of the table are no part of this
    monkeypatch.setattr("sys.argv", ["fetch", "mnist", *options])
    assert main() == 3
    assert "set GRADSURGERY_MIRROR=<any>:" in capsys.readouterr().err


def _real(name):
    """The folder of a real data set, in the checkout or in a workspace of it."""
    root = Path(__file__).parents[2]
    for folder in (root, *root.glob("workspaces/*")):
        if (folder / "data/raw" / name).is_dir():
            return folder / "data/raw" / name
    pytest.skip(f"{name} is not there: run `make repro`")


def test_real_data_is_what_is_pinned():
    folder = _real("mnist")
    images = np.load(folder / "train_images.npy")
    labels = np.load(folder / "train_labels.npy")
    assert images.shape == (60_000, 28, 28)
    assert images.mean() == pytest.approx(33.318, abs=1e-3)
    assert np.bincount(labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]


def test_the_real_cifar100_is_complete_and_in_order():
    folder = _real("cifar100")
    images = np.load(folder / "train_images.npy")
    labels = np.load(folder / "train_labels.npy")
    assert images.shape == (50_000, 32, 32, 3)
    np.testing.assert_array_equal(labels, np.repeat(np.arange(100), 500))
    np.testing.assert_allclose(images.mean((0, 1, 2)) / 255, [0.50708, 0.48655, 0.44092], atol=1e-5)
