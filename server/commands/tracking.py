"""CLIENT TRACKING and the commands about it. What tracking does is in `server.clients.tracking`."""

from __future__ import annotations

from common.errors import (
    BCAST_NOT_SWITCHABLE,
    BCAST_WITHOUT_CHOICE,
    CACHING_NEEDS_TRACKING,
    CACHING_NO_NEEDS_OPTOUT,
    CACHING_YES_NEEDS_OPTIN,
    CHOICE_NOT_SWITCHABLE,
    NO_CLIENT_TO_REDIRECT_TO,
    OPTIN_AND_OPTOUT,
    PREFIX_NEEDS_BCAST,
    REDIRECTION_NEEDS_SUBSCRIPTION,
    SEVERAL_REDIRECTIONS,
    SYNTAX_ERROR,
    TRACKING_NEEDS_CONNECTION,
    CommandError,
)
from common.replies import OK, Reply
from common.set_reply import SetReply
from server.args.integers import parse_integer
from server.args.options import require
from server.clients.tracker import Tracker, TrackingOptions
from server.clients.tracking import can_receive
from server.registry import CONTROL, MAX_QUICK_ARGS, CommandGroup, Flag
from server.session.session import Session

group = CommandGroup("connection", "connection")

FLAGS = CONTROL | Flag.NOSCRIPT


@group.control(
    "CLIENT TRACKING <ON | OFF> [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] "
    "[BCAST] [OPTIN] [OPTOUT] [NOLOOP]",
    "Send this client an invalidation when a key that it has read changes, for its cache.",
    FLAGS,
    since="6.0.0",
    complexity="O(1), some options may introduce additional complexity",
    types={"client-id": "integer"},
)
def client_tracking(session: Session, mode: bytes, *args: bytes) -> Reply:
    # In the order of `clientCommand`: the options are parsed even for OFF, and compared with each other last.
    options, prefixes = _parse(session, args)
    match mode.upper():
        case b"ON":
            _check(options, prefixes, session.client.tracker)
            session.open_pushes(TRACKING_NEEDS_CONNECTION).start_tracking(options, prefixes)
        case b"OFF":
            if session.pushes is not None:
                session.pushes.stop_tracking()
        case _:
            raise CommandError(SYNTAX_ERROR)
    return OK


def _tracking_may_take_long(session: Session, *args: bytes) -> bool:
    # Prefixes are compared with each other. A script has the lock that the first client waits for.
    return len(args) > MAX_QUICK_ARGS or session.context.scripts.running is not None


group.may_take_long("CLIENT|TRACKING", _tracking_may_take_long)


def _parse(session: Session, args: tuple[bytes, ...]) -> tuple[TrackingOptions, list[bytes]]:
    options, prefixes = TrackingOptions(), []
    rest = iter(args)
    for arg in rest:
        match arg.upper():
            case b"REDIRECT" if (client_id := next(rest, None)) is not None:
                options = options._replace(redirect=_parse_redirect(session, client_id, options.redirect))
            case b"PREFIX" if (prefix := next(rest, None)) is not None:
                prefixes.append(prefix)
            case b"BCAST":
                options = options._replace(broadcast=True)
            case b"OPTIN":
                options = options._replace(opt_in=True)
            case b"OPTOUT":
                options = options._replace(opt_out=True)
            case b"NOLOOP":
                options = options._replace(no_loop=True)
            case _:  # unknown, or without its value
                raise CommandError(SYNTAX_ERROR)
    return options, prefixes


def _parse_redirect(session: Session, arg: bytes, before: int) -> int:
    if before:
        raise CommandError(SEVERAL_REDIRECTIONS)
    client_id = parse_integer(arg)
    client = session.context.clients.find(client_id)
    if client is None:
        raise CommandError(NO_CLIENT_TO_REDIRECT_TO)
    if not can_receive(client):
        raise CommandError(REDIRECTION_NEEDS_SUBSCRIPTION)
    return client_id


def _check(options: TrackingOptions, prefixes: list[bytes], tracker: Tracker | None) -> None:
    """Raise `CommandError` if options do not fit together, or not the tracking that is on."""
    before = options if tracker is None else tracker.options
    if prefixes and not options.broadcast:
        raise CommandError(PREFIX_NEEDS_BCAST)
    if options.broadcast != before.broadcast:
        raise CommandError(BCAST_NOT_SWITCHABLE)
    if options.broadcast and (options.opt_in or options.opt_out):
        raise CommandError(BCAST_WITHOUT_CHOICE)
    if options.opt_in and options.opt_out:
        raise CommandError(OPTIN_AND_OPTOUT)
    if (options.opt_in and before.opt_out) or (options.opt_out and before.opt_in):
        raise CommandError(CHOICE_NOT_SWITCHABLE)


@group.control(
    "CLIENT CACHING <YES | NO>",
    "Track the keys of the next request (OPTIN), or do not (OPTOUT).",
    FLAGS,
    since="6.0.0",
)
def client_caching(session: Session, mode: bytes) -> Reply:
    tracker = session.client.tracker
    if tracker is None:
        raise CommandError(CACHING_NEEDS_TRACKING)
    require(mode.upper() in (b"YES", b"NO"))
    if mode.upper() == b"YES" and not tracker.options.opt_in:
        raise CommandError(CACHING_YES_NEEDS_OPTIN)
    if mode.upper() == b"NO" and not tracker.options.opt_out:
        raise CommandError(CACHING_NO_NEEDS_OPTOUT)
    tracker.caching = True
    return OK


@group.control(
    "CLIENT GETREDIR",
    "Return the ID of the client to which invalidations are redirected; 0 if they are not, -1 without tracking.",
    FLAGS,
    since="6.0.0",
)
def client_getredir(session: Session) -> Reply:
    tracker = session.client.tracker
    return -1 if tracker is None else tracker.options.redirect


@group.control("CLIENT TRACKINGINFO", "Describe the tracking of this connection.", FLAGS, since="6.2.0")
def client_trackinginfo(session: Session) -> Reply:
    tracker = session.client.tracker
    if tracker is None:
        return {b"flags": SetReply([b"off"]), b"redirect": -1, b"prefixes": []}
    return {
        b"flags": SetReply(tracker.flags()),
        b"redirect": tracker.options.redirect,
        b"prefixes": [*sorted(tracker.prefixes)],
    }
