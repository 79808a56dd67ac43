"""Many requests in one send, in both protocols, and in pieces of every size: replied to all, in order."""

from __future__ import annotations

import pytest

from tests.harness.processes import ServerProcess

pytestmark = pytest.mark.every_scheduler


def test_ten_thousand_lines_in_one_send_get_ten_thousand_replies_in_order(server: ServerProcess) -> None:
    peer = server.connect()
    peer.send(b"".join(b"ECHO %d\n" % number for number in range(10_000)))
    peer.finish_sending()
    assert peer.rest() == b"".join(b"%d\n" % number for number in range(10_000))


def test_ten_thousand_resp_requests_in_one_send_get_ten_thousand_replies_in_order(server: ServerProcess) -> None:
    args = [b"%d" % number for number in range(10_000)]
    peer = server.connect()
    peer.send(b"".join(b"*2\r\n$4\r\nECHO\r\n$%d\r\n%b\r\n" % (len(arg), arg) for arg in args))
    peer.finish_sending()
    assert peer.rest() == b"".join(b"$%d\r\n%b\r\n" % (len(arg), arg) for arg in args)


def test_each_request_is_replied_to_in_its_own_protocol_when_they_are_mixed(server: ServerProcess) -> None:
    one_round = [
        (b"SET key 'two words'\n", b"OK\n"),
        (b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n", b"$9\r\ntwo words\r\n"),
        (b"GET key\r\n", b'"two words"\r\n'),
        (b"\n \r\n*0\r\n", b""),
        (b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$4\r\n\r\n*1\r\n", b"+OK\r\n"),
        (b"GET key\n", rb'"\r\n*1"' + b"\n"),
        (b"*1\r\n$4\r\nNOPE\r\n", b"-ERR unknown command 'NOPE', with args beginning with: \r\n"),
        (b"get none\n", b"(nil)\n"),
        (b"*2\r\n$3\r\nGET\r\n$4\r\nnone\r\n", b"$-1\r\n"),
        (b"MULTI\n", b"OK\n"),
        (b"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n", b"+QUEUED\r\n"),
        (b"DEL n\n", b"QUEUED\n"),
        (b"*1\r\n$4\r\nEXEC\r\n", b"*2\r\n:1\r\n:1\r\n"),
    ]
    peer = server.connect()
    peer.send(b"".join(request for request, _ in one_round) * 500)
    peer.finish_sending()
    assert peer.rest() == b"".join(reply for _, reply in one_round) * 500


def test_requests_that_come_a_byte_at_a_time_are_replied_to(server: ServerProcess) -> None:
    beside = server.connect()
    peer = server.connect()
    for byte in b'SET key "a b"\r\n*2\r\n$3\r\nGET\r\n$3\r\nkey\r\nGET key\n':
        peer.send(bytes([byte]))
        assert beside.ask(b"PING") == b"PONG"
    peer.finish_sending()
    assert peer.rest() == b'OK\r\n$3\r\na b\r\n"a b"\n'


def test_what_is_sent_after_disconnect_is_not_run(server: ServerProcess) -> None:
    peer = server.connect()
    peer.send(b"SET before 1\nDISCONNECT\nSET after 1\n" + b"INCR after\n" * 1000)
    assert peer.rest() == b"OK\nOK\n"
    assert server.connect().ask(b"EXISTS before after") == b"1"


def test_a_last_line_without_its_line_break_is_not_run(server: ServerProcess) -> None:
    peer = server.connect()
    peer.send(b"SET whole 1\nSET half 1")
    peer.finish_sending()
    assert peer.rest() == b"OK\n"
    assert server.connect().ask(b"EXISTS whole half") == b"1"


def test_a_value_of_many_megabytes_comes_back_as_it_went(server: ServerProcess) -> None:
    value = bytes(range(256)) * 65536
    peer = server.connect()
    peer.send(b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%d\r\n%b\r\n*2\r\n$3\r\nGET\r\n$3\r\nbig\r\n" % (len(value), value))
    peer.finish_sending()
    assert peer.rest() == b"+OK\r\n$%d\r\n%b\r\n" % (len(value), value)
