# ruff: noqa: UP009, UP010, UP018, UP031
# -*- coding: utf-8 -*-
"""A client in Python 2.7 that needs only the standard library. Run it as ``python2.7 python2_client.py PORT``.

It exits with status 0 and prints "passed" if all replies are as the README describes.
"""

from __future__ import print_function, unicode_literals

import json
import socket
import struct
import sys


def ask(connection, request):
    body = json.dumps(request).encode("utf-8")
    connection.sendall(struct.pack(str(">i"), len(body)) + body)
    (length,) = struct.unpack(str(">i"), connection.recv(4))
    reply = b""
    while len(reply) < length:
        piece = connection.recv(length - len(reply))
        if not piece:
            raise EOFError("the server closed the connection within a reply")
        reply += piece
    return json.loads(reply.decode("utf-8"))


def expect(connection, request, reply):
    found = ask(connection, request)
    if found != reply:
        raise ValueError("%r: %r and not %r" % (request, found, reply))


def main(port):
    connection = socket.create_connection(("127.0.0.1", port), 20)
    value = {"text": "zwölf", "list": [1, -2.5, None, True, "12"], "big": 2**70}
    expect(connection, {"command": "RST"}, {"status_code": 200})
    expect(connection, {"command": "SET", "key": "schlüssel", "value": value}, {"status_code": 200})
    expect(connection, {"command": "GET", "key": "schlüssel"}, {"status_code": 200, "value": value})
    expect(connection, {"command": "DEL", "key": "schlüssel"}, {"status_code": 200})
    expect(connection, {"command": "DEL", "key": "schlüssel"}, {"status_code": 404})
    expect(connection, {"command": "GET", "key": "schlüssel"}, {"status_code": 404})
    expect(connection, {"command": "INCRBY", "args": ["n", 10]}, {"status_code": 200, "value": 10})
    refusal = ask(connection, {"command": "FLY"})
    if refusal["status_code"] != 400 or not refusal["error"]:
        raise ValueError("%r" % refusal)
    expect(connection, {"command": "SET", "key": "by Python 2", "value": sys.version_info[0]}, {"status_code": 200})
    connection.close()
    print("passed")


if __name__ == "__main__":
    main(int(sys.argv[1]))
