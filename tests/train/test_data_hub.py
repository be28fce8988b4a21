"""Data sets on the hub: which files are meant, and the real client against a server of our own."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading

import pytest

import fttui_engine
from fttui_engine.train.data.hub import HubDataset, choose_files
from fttui_engine.train.errors import DataError

FILES = [
    "README.md",
    "data/train-00000-of-00002.parquet",
    "data/train-00001-of-00002.parquet",
    "data/test.parquet",
]
TRAIN = FILES[1:3]
CARD = {
    "configs": [
        {"config_name": "small", "data_files": [{"split": "train", "path": "s/*.json"}]},
        {
            "config_name": "all",
            "default": True,
            "data_files": [{"split": "train", "path": ["a/1.json", "a/2.json"]}],
        },
    ]
}
LISTED = ["s/x.json", "a/1.json", "a/2.json", "a/3.json"]


@pytest.mark.parametrize(
    ("names", "wanted", "card", "expected"),
    [
        (FILES, {}, {}, TRAIN),
        (FILES, {"split": "test"}, {}, ["data/test.parquet"]),
        (["alpaca.json", "README.md"], {}, {}, ["alpaca.json"]),
        (["en/train.jsonl", "de/train.jsonl"], {"subset": "de"}, {}, ["de/train.jsonl"]),
        (["x/a.json", "y/b.csv"], {"folder": "y"}, {}, ["y/b.csv"]),
        (["my_dev.jsonl", "my_train.jsonl"], {"split": "validation"}, {}, ["my_dev.jsonl"]),
        (LISTED, {}, CARD, ["a/1.json", "a/2.json"]),
        (LISTED, {"subset": "small"}, CARD, ["s/x.json"]),
    ],
)
def test_the_files_of_a_split(names, wanted, card, expected):
    assert choose_files(names, HubDataset("somebody/x", **wanted), card) == expected


@pytest.mark.parametrize(
    ("names", "wanted", "message"),
    [
        (FILES, {"split": "validation"}, "has no .* file for split 'validation'"),
        (FILES, {"split": "train[:100]"}, "is not the name of a split"),
        (["train.bin"], {}, "its files are train.bin"),
        (["train.json", "train.parquet"], {}, "files of several kinds"),
        (FILES[:2], {}, "only 1 of 2 files of split 'train' are there"),
    ],
)
def test_what_cannot_be_chosen_is_named(names, wanted, message):
    with pytest.raises(DataError, match=message):
        choose_files(names, HubDataset("somebody/x", **wanted), {})


SERVED = {
    "README.md": b"---\nconfigs:\n- config_name: default\n  data_files: mine.jsonl\n---\n",
    "mine.jsonl": b'{"prompt": "a", "completion": "b"}\n',
    "other.jsonl": b'{"prompt": "not", "completion": "this"}\n',
}


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the hub as a download needs: one repository with two files."""

    commit = "0123456789abcdef0123456789abcdef01234567"

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, with_body):
        path = self.path.partition("?")[0]
        name = path.rpartition("/")[2]
        if path.startswith("/api/datasets/somebody/x/tree/"):
            files = [
                {"type": "file", "path": each, "size": len(body), "oid": "0"} for each, body in SERVED.items()
            ]
            self.send(json.dumps(files).encode(), with_body)
        elif path.startswith("/api/datasets/somebody/x"):
            about = {
                "id": "somebody/x",
                "sha": self.commit,
                "siblings": [{"rfilename": each} for each in SERVED],
            }
            self.send(json.dumps(about).encode(), with_body)
        elif path.startswith("/datasets/somebody/x/resolve/") and name in SERVED:
            self.send(SERVED[name], with_body)
        else:
            self.send(b"{}", with_body, 404)

    def send(self, body, with_body, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", self.commit)
        self.send_header("X-Error-Code", "RepoNotFound" if status == 404 else "")
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *words):
        """Stay silent."""


FETCH = """
import sys
from fttui_engine.errors import FttuiError
from fttui_engine.train.data.sources import find_datasets
try:
    (dataset,) = find_datasets([sys.argv[1]], "ONLINE", sys.argv[2])
    print([source.path.name for source in dataset.sources], [source.path.read_text() for source in dataset.sources])
except FttuiError as error:
    print(error.message)
"""


def fetch(name, cache, **environment):
    """Run the real client in a process of its own; it reads its settings when it is imported."""
    engine = os.path.dirname(os.path.dirname(fttui_engine.__file__))
    settings = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "127.0.0.1"}
    found = subprocess.run(
        [sys.executable, "-c", FETCH, name, str(cache)],
        env=os.environ | settings | {"PYTHONPATH": engine} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return found.stdout


def test_a_data_set_is_fetched_and_found_again_without_a_network(tmp_path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        online = fetch("somebody/x", tmp_path, HF_ENDPOINT=endpoint)
        missing = fetch("somebody/gone", tmp_path, HF_ENDPOINT=endpoint)
    finally:
        server.shutdown()
        server.server_close()
    assert "mine.jsonl" in online and "completion" in online and "other.jsonl" not in online
    assert "the data set somebody/gone cannot be fetched from the hub" in missing
    assert fetch("somebody/x", tmp_path, HF_HUB_OFFLINE="1") == online
