"""`SetReply`, in a module of its own, because mypyc compiles no subclass of a list (`packaging/compiled.py`)."""

from __future__ import annotations

TYPE_CHECKING = False  # not from `typing`, as in `common.replies`
if TYPE_CHECKING:
    from common.replies import Reply


class SetReply(list["Reply"]):
    """An array whose order has no meaning. RESP3 has a type of its own for it, other protocols do not."""

    __slots__ = ()
