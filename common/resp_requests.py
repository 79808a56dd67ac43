r"""Requests in RESP, as the server reads them.

A request is an array of bulk strings: ``*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n``. After a malformed one the stream cannot be
resynchronised, so every protocol error closes the connection.
"""

from __future__ import annotations

from common.codec import Args, DecodedRequest, DecodedRequests, Encoder, ProtocolError, RequestBatch
from common.errors import (
    INVALID_BULK_LENGTH,
    INVALID_MULTIBULK_LENGTH,
    MISSING_CRLF,
    UNAUTHENTICATED_BULK_LENGTH,
    UNAUTHENTICATED_MULTIBULK_LENGTH,
    bulk_string_expected,
    request_too_large,
)
from common.limits import DEFAULT_LIMITS, Limits
from common.replies import ErrorReply
from common.resp import CRLF, bulk_header, parse_length

MAX_HEADER_SIZE = 32
"""Bytes of the longest valid header line: a type byte, a 64-bit number, CRLF. A longer one is refused unread."""

MAX_SPLIT_ARGS = 64
_LINE_COUNTS = {b"*%d" % count: 1 + 2 * count for count in range(1, MAX_SPLIT_ARGS + 1)}
"""The number of lines of a request by its first line."""
MIN_BATCH = 4
MAX_BATCH = 64
"""Alike requests from which on, and up to which, they are decoded as one `RequestBatch`. It is executed as one step."""

MAX_UNIFORM_ARGS = 2
"""Arguments after the name up to which a `_Uniform` is used."""

MIN_SINGLES = 8
"""Reads of one request, of the same size, after which the next ones are compared with it. Preparing it takes 0.7 µs."""

BATCH_PROBE_INTERVAL = 8
"""Requests after a failed attempt before the next one, so that a pipeline of mixed commands does not pay for each."""


class RequestDecoder:
    """Cut a stream of bytes into requests.

    Most reads contain whole requests whose arguments contain no CRLF. Such a read is split at every CRLF, and the
    declared lengths are compared with the pieces: a piece of the declared length can only be that argument. This is
    several times as fast as reading argument by argument (`python -m benchmarks throughput`, the pipelined rows). If
    the comparison fails (an argument with a CRLF in it, a partial or malformed request), the rest of the read is read
    argument by argument, with the position stored between reads. The next read is split again after that request.
    """

    __slots__ = (
        "_args",
        "_bulk",
        "_bulk_size",
        "_encoder",
        "_header",
        "_limits",
        "_line_counts",
        "_may_split",
        "_missing",
        "_pieces",
        "_single_size",
        "_singles",
        "_size",
        "_smallest_limit",
        "_uniform",
    )

    def __init__(self, encoder: Encoder, limits: Limits = DEFAULT_LIMITS) -> None:
        self._encoder = encoder
        self._uniform: _Uniform | None = None  # what the last requests had in common, if others may have it too
        self.use(limits)
        self._may_split = True  # false after another protocol began within the same read
        self._pieces: list[bytes] | None = None  # the read that `take_whole` was called with, split at its CRLFs
        self._single_size = self._singles = 0  # the size of the last read of one request, and how many had it before
        self._header = b""  # a partial header line
        self._args: Args = []  # the arguments of the partial request
        self._missing = 0  # the number of arguments that it still lacks
        self._size = 0  # the declared bytes of its arguments
        self._bulk: bytearray | None = None  # a partial argument, with the part of its CRLF that has arrived
        self._bulk_size = 0  # its declared size with its CRLF

    def take_whole(self, data: bytes) -> DecodedRequest | None:
        """Return the request, or the batch, if the data is exactly one, as usual.

        After None, `decode` must be called with the data. It spares this request the lists that `decode` makes, and the
        calls through which they are passed.
        """
        if self._missing or self._header or not self._may_split:
            return None
        size = len(data)
        uniform = self._uniform
        if uniform is not None:
            if size == uniform.size:
                args = uniform.take_single(data)
                if args is not None:
                    return args
            elif size >= MIN_BATCH * uniform.size:
                is_whole = not size % uniform.size and size <= min(MAX_BATCH * uniform.size, self._smallest_limit)
                return uniform.take(data, 0) if is_whole else None
            self._uniform = None
        pieces = data.split(CRLF)
        last = len(pieces) - 1
        if self._line_counts.get(pieces[0]) == last and not pieces[last] and size <= self._smallest_limit:
            args = pieces[2:last:2]
            place = 1
            for arg in args:  # twice as fast as to map and compare slices, for the usual two or three
                if bulk_header(len(arg)) != pieces[place]:
                    break
                place += 2
            else:
                if size != self._single_size:
                    self._single_size, self._singles = size, 0
                elif self._singles < MIN_SINGLES:
                    self._singles += 1
                elif 2 <= len(args) <= 1 + MAX_UNIFORM_ARGS:
                    self._singles = 0
                    self._uniform = _Uniform(args[0], list(map(len, args[1:])))
                return args
        self._pieces = pieces
        return None

    def decode(self, data: bytes) -> tuple[list[DecodedRequests], bytes]:
        """Return the requests that ``data`` completes, and the rest. See `common.codec.Decoder`."""
        pieces, self._pieces = self._pieces, None
        requests: list[DecodedRequest] = []
        at = 0
        if self._header:
            data = self._header + data
            self._header = b""
        try:
            if self._missing:
                at = self._read(data, at, requests, only_one=True)
            # To split the rest of a read at each change of the protocol took 4.6 s for 64 KiB of changes.
            if self._may_split and not self._missing and at < len(data):
                if self._uniform is not None:
                    at = self._take_uniform(self._uniform, data, at, requests)
                if at:
                    data, at = data[at:], 0
                if data:
                    at = self._split(data, pieces or data.split(CRLF), requests)
            if at < len(data):
                at = self._read(data, at, requests)
        except _Malformed as problem:
            # The requests before it are valid and are executed first. Their replies precede the error.
            requests.append(ProtocolError(problem.error, close_connection=True))
            at = len(data)
        rest = data[at:]
        self._may_split = not rest
        return [(self._encoder, requests)] if requests else [], rest

    def decode_one(self, data: bytes) -> tuple[list[DecodedRequests], bytes]:
        """Return the first request that ``data`` completes, and the data after it. See `common.codec.Decoder`."""
        requests: list[DecodedRequest] = []
        if self._header:
            data = self._header + data
            self._header = b""
        try:
            at = self._read(data, 0, requests, only_one=True)
        except _Malformed as problem:
            requests.append(ProtocolError(problem.error, close_connection=True))
            at = len(data)
        return [(self._encoder, requests)] if requests else [], data[at:]

    def use(self, limits: Limits) -> None:
        """Obey these bounds from now on. See `common.codec.Decoder`."""
        self._limits = limits
        self._smallest_limit = min(limits.max_bulk, limits.max_request)
        # With a smaller limit no request is split, so that `_argument_count` checks every one of them.
        self._line_counts = _LINE_COUNTS if limits.max_args >= MAX_SPLIT_ARGS else {}
        self._uniform = None

    def _take_uniform(self, uniform: _Uniform, data: bytes, at: int, requests: list[DecodedRequest]) -> int:
        """Take the batches from ``at`` on that are like the last one. Return the position after them."""
        if len(data) <= self._smallest_limit:
            while at < len(data):
                batch = uniform.take(data, at)
                if batch is None:
                    break
                requests.append(batch)
                at += batch.count * uniform.size
            if not at:
                self._uniform = None
        return at

    def _split(self, data: bytes, pieces: list[bytes], requests: list[DecodedRequest]) -> int:
        """Take the complete, plain requests at the beginning of the data. Return the position after them.

        ``pieces`` are those of the data at its CRLFs. Only between requests: inside one, a piece could be the end of an
        argument whose beginning was read before.
        """
        last = len(pieces) - 1  # the only piece without a CRLF after it
        # A read that is shorter than the smallest limit cannot contain an argument or a request that exceeds one.
        may_exceed_limit = len(data) > self._smallest_limit
        line_counts, header = self._line_counts, bulk_header
        at = next_probe = 0
        while at < last:
            # Any other first line (a partial or malformed one, or another protocol) gets an end after the last piece.
            lines = line_counts.get(pieces[at], last + 1)
            end = at + lines
            if end > last:
                break
            if at + MIN_BATCH * lines <= last and at >= next_probe and not may_exceed_limit:
                batch = _split_batch(pieces, at, lines, last)
                if batch is not None:
                    requests.append(batch)
                    at += batch.count * lines
                    if len(requests) == 1 and (at == last or batch.count == MAX_BATCH):  # nothing else is in the read
                        self._uniform = _Uniform.of(batch)
                    continue
                next_probe = at + BATCH_PROBE_INTERVAL * lines
            for place in range(at + 1, end, 2):
                if header(len(pieces[place + 1])) != pieces[place]:
                    break
            else:
                args = pieces[at + 2 : end : 2]
                if may_exceed_limit and not self._limits.allow(args):
                    break
                requests.append(args)
                at = end
                continue
            break
        # Back from pieces to bytes: the length of the pieces that are left, and of the CRLFs between them.
        return len(data) - sum(map(len, pieces[at:])) - 2 * (last - at)

    def _read(self, data: bytes, at: int, requests: list[DecodedRequest], only_one: bool = False) -> int:
        """Read requests argument by argument, or the rest of a partial one, and store a new partial one.

        Return the position after them. It is before the end of the data if a request of another protocol begins there,
        and after the first request with ``only_one``.
        """
        while at < len(data):
            if self._bulk is not None:
                at = self._continue_bulk(self._bulk, data, at)
            elif not self._missing and data[at] != 0x2A:
                break  # not "*": a request of another protocol
            else:
                # The bound makes a line that never ends an error after 32 bytes, instead of storing it.
                end = data.find(CRLF, at, at + MAX_HEADER_SIZE)
                if end < 0:
                    self._store_header(data[at:])
                    return len(data)
                if self._missing:
                    at = self._read_bulk(data[at:end], data, end + 2)
                else:
                    self._missing = self._argument_count(data[at:end])
                    at = end + 2
                    continue  # an empty request (*0) gets no reply, as in Redis
            if self._bulk is None and not self._missing:
                requests.append(self._args)
                self._args = []
                self._size = 0
                if only_one:
                    break
        return at

    def _store_header(self, part: bytes) -> None:
        if len(part) >= MAX_HEADER_SIZE:
            raise _Malformed(INVALID_BULK_LENGTH if self._missing else INVALID_MULTIBULK_LENGTH)
        self._header = part

    def _argument_count(self, header: bytes) -> int:
        count = parse_length(header[1:])
        if count is None or count > self._limits.max_args:
            raise _Malformed(
                UNAUTHENTICATED_MULTIBULK_LENGTH if count and self._limits.unauthenticated else INVALID_MULTIBULK_LENGTH
            )
        return max(count, 0)

    def _read_bulk(self, header: bytes, data: bytes, at: int) -> int:
        """Read the argument after this header from ``data`` at ``at``, or store the part that has arrived."""
        # The header is checked completely before a byte of the argument is stored: its length is a client's claim.
        if header[:1] != b"$":
            raise _Malformed(bulk_string_expected(header[:1]))
        length = parse_length(header[1:])
        if length is None or not 0 <= length <= self._limits.max_bulk:
            is_bound = length is not None and length > 0 and self._limits.unauthenticated
            raise _Malformed(UNAUTHENTICATED_BULK_LENGTH if is_bound else INVALID_BULK_LENGTH)
        self._size += length
        if self._size > self._limits.max_request:
            raise _Malformed(request_too_large(self._limits.max_request))
        end = at + length
        if len(data) >= end + 2:
            self._add_argument(data[at:end], data[end : end + 2])
            return end + 2
        # Not allocated at its declared size. Otherwise a client could reserve 512 MB with each "$536870912".
        self._bulk = bytearray(data[at:])
        self._bulk_size = length + 2
        return len(data)

    def _continue_bulk(self, bulk: bytearray, data: bytes, at: int) -> int:
        end = at + self._bulk_size - len(bulk)
        bulk += data[at:end]
        if len(bulk) == self._bulk_size:
            # A slice of the bytearray would be a second copy of up to `max_bulk` bytes.
            with memoryview(bulk) as view:
                self._add_argument(bytes(view[:-2]), bytes(view[-2:]))
            self._bulk = None
        return min(end, len(data))

    def _add_argument(self, arg: bytes, ending: bytes) -> None:
        # Redis does not look at these bytes. Here a wrong length must not make data be read as the next header.
        if ending != CRLF:
            raise _Malformed(MISSING_CRLF)
        self._args.append(arg)
        self._missing -= 1


def _split_batch(pieces: list[bytes], at: int, lines: int, last: int) -> RequestBatch | None:
    """Take the requests from ``at`` on that have as many lines and the same name, if they are enough.

    Returns None also if a line is not what the declared lengths say: then they are taken one by one.
    """
    name = pieces[at + 2]
    if pieces[at + lines + 2] != name or lines < 5:  # five lines: a name and an argument
        return None
    count = min(MAX_BATCH, (last - at) // lines)
    names = pieces[at + 2 : at + count * lines : lines]
    if names.count(name) != count:
        count = next(place for place, other in enumerate(names) if other != name)
        if count < MIN_BATCH:
            return None
    end = at + count * lines
    if (
        pieces[at:end:lines].count(pieces[at]) != count
        or pieces[at + 1 : end : lines].count(bulk_header(len(name))) != count
    ):
        return None
    columns: list[list[bytes]] = []
    for place in range(at + 4, at + lines, 2):
        column = pieces[place:end:lines]
        if list(map(bulk_header, map(len, column))) != pieces[place - 1 : end : lines]:
            return None
        columns.append(column)
    return RequestBatch(name, columns)


class _Uniform:
    """Requests that have the same name, and arguments of the same sizes, one or two. ``size`` is that of a request.

    A client that sends such requests usually goes on with it. They are split at what is between their arguments, which
    takes half of the time of splitting them at each CRLF. An argument may contain anything: only pieces of the
    declared sizes, with nothing but the separators between them, are those arguments.
    """

    __slots__ = ("_between", "_name", "_prefix", "_row_size", "_separator", "_sizes", "size")

    def __init__(self, name: bytes, sizes: list[int]) -> None:
        self._name = name
        self._sizes = sizes
        self._prefix = b"*%d\r\n$%d\r\n%b\r\n$%d\r\n" % (1 + len(sizes), len(name), name, sizes[0])
        self._separator = CRLF + self._prefix
        self._between = b"\r\n$%d\r\n" % sizes[-1]  # between the two arguments
        self._row_size = sum(sizes) + (len(sizes) - 1) * len(self._between)
        self.size = len(self._prefix) + self._row_size + 2

    @classmethod
    def of(cls, batch: RequestBatch) -> _Uniform | None:
        """Return what the requests of a batch have in common; None if their sizes differ."""
        if len(batch.columns) > MAX_UNIFORM_ARGS:
            return None
        sizes: list[int] = []
        for column in batch.columns:
            size = len(column[0])
            if len(column[-1]) != size or set(map(len, column)) != {size}:  # the last one tells most others at once
                return None
            sizes.append(size)
        return cls(batch.name, sizes)

    def take_single(self, data: bytes) -> Args | None:
        """Take the only request of the data, which has the size. Return None if it is of another kind."""
        row = data.removeprefix(self._prefix).removesuffix(CRLF)  # takes less time than comparing slices
        if len(row) != self._row_size:
            return None
        if len(self._sizes) == 1:
            return [self._name, row]
        first, _, second = row.partition(self._between)
        return [self._name, first, second] if len(first) == self._sizes[0] else None

    def take(self, data: bytes, at: int) -> RequestBatch | None:
        """Take as many requests from ``at`` on as a batch may have; None if they are too few, or of another kind."""
        count = min((len(data) - at) // self.size, MAX_BATCH)
        if count < MIN_BATCH or not data.startswith(self._prefix, at):
            return None
        end = at + count * self.size - 2
        rows = data[at + len(self._prefix) : end].split(self._separator)
        if data[end : end + 2] != CRLF or list(map(len, rows)) != [self._row_size] * count:
            return None
        if len(self._sizes) == 1:
            return RequestBatch(self._name, [rows])
        args = self._between.join(rows).split(self._between)
        if list(map(len, args)) != self._sizes * count:
            return None
        return RequestBatch(self._name, [args[::2], args[1::2]])


class _Malformed(Exception):
    """Raised for bytes that violate RESP. Caught in this module."""

    def __init__(self, error: ErrorReply) -> None:
        self.error = error
