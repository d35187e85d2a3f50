"""HTTP with a program of ours over its Unix socket."""

import http.client
import json
import socket


class Local(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=300)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)

    def call(self, method, path, body=None):
        """The status, and the document that came with it."""
        self.request(method, path, None if body is None else json.dumps(body), {"content-type": "application/json"})
        answer = self.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None
