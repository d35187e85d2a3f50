"""Memory of a GPU, held by a Python program: python3 examples/gpu_lease.py SOCKET, beside `uat gpu daemon`. The standard library alone."""

import http.client
import json
import socket
import sys


class Daemon(http.client.HTTPConnection):
    """HTTP over a Unix socket. The daemon knows from the system which process calls, and frees what it holds when it ends."""

    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)

    def call(self, method, path, body=None):
        self.request(method, path, None if body is None else json.dumps(body))
        answer = self.getresponse()
        text = answer.read()
        document = json.loads(text) if text else None
        if answer.status >= 400:
            raise RuntimeError(f"{document['error']['code']}: {document['error']['message']}")
        return document


daemon = Daemon(sys.argv[1])
lease = daemon.call("POST", "/v1/leases", {"bytes": 4 << 30, "duration_ms": 60_000, "wait_ms": 30_000, "model": "embeddings"})
where = ", ".join(f"GPU {gpu['index']} ({gpu['uuid']})" for gpu in lease["gpus"])
print(f"lease {lease['lease']}: 4 GiB of {where}, waited for {lease['waited_ms']} ms")
print(f"renewed: it lives {daemon.call('POST', '/v1/leases/%d/renew' % lease['lease'], {'duration_ms': 120_000})['expires_in_ms']} ms")
daemon.call("DELETE", "/v1/leases/%d" % lease["lease"])
print(f"given back; free now: {daemon.call('GET', '/v1/gpus')['gpus'][0]['free_bytes'] >> 20} MiB")
