"""A folder served as a Hadoop file system, over WebHDFS: the one network client that Spark brings along.

References
----------
https://hadoop.apache.org/docs/stable/hadoop-project-dist/hadoop-hdfs/WebHDFS.html
"""

import json
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, unquote, urlsplit

PREFIX = "/webhdfs/v1"


class _Handler(BaseHTTPRequestHandler):
    """Answers a client that lists and reads; without a Content-Type, which Spark's cannot parse."""

    def __init__(self, root: Path, *args):
        self.root = root
        super().__init__(*args)

    def do_GET(self):
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        name = unquote(url.path.encode("latin-1")).removeprefix(PREFIX).strip("/")
        path = self.root / name
        if not path.exists():
            error = {"javaClassName": "java.io.FileNotFoundException", "message": name}
            self.answer({"RemoteException": error}, code=404)
            return
        match query["op"]:
            case "GETFILESTATUS":
                self.answer({"FileStatus": status(path)})
            case "LISTSTATUS":
                if path.is_dir():
                    found = [status(one, one.name) for one in path.iterdir()]
                else:
                    found = [status(path)]
                self.answer({"FileStatuses": {"FileStatus": found}})
            case "GETFILEBLOCKLOCATIONS":
                self.answer({"BlockLocations": {"BlockLocation": []}})
            case "OPEN":
                start = int(query.get("offset", 0))
                stop = start + int(query["length"]) if "length" in query else None
                self.send(path.read_bytes()[start:stop])

    def answer(self, document, code=200):
        self.send(json.dumps(document).encode(), code)

    def send(self, body, code=200):
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Say nothing."""


def status(path, name=""):
    """Return what the file system tells of a path."""
    return {
        "pathSuffix": name,
        "type": "DIRECTORY" if path.is_dir() else "FILE",
        "length": 0 if path.is_dir() else path.stat().st_size,
        "owner": "nobody",
        "group": "nobody",
        "permission": "755",
        "accessTime": 0,
        "modificationTime": 0,
        "blockSize": 1 << 27,
        "replication": 1,
        "fileId": 1,
        "childrenNum": 0,
        "storagePolicy": 0,
    }


@contextmanager
def served(root):
    """Serve a folder for the block; yield its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, root)) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"webhdfs://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
