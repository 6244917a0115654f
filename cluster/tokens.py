"""Ray's tokens: which one counts here, whether a cluster asks for one, and one for a Ray of our own.

A token gives the right to run code on a cluster. It is read from where Ray reads it, and never written to a spec, a log or a command line. Must not
know what a sweep is.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.errors import ClusterError, one_line

NAMES = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
UNGUARDED = (
    "{address} has no token authentication: whoever reaches it can run code on it; start it with RAY_AUTH_MODE=token and `ray get-auth-token --generate`"
)
HOW = "put its token into ~/.ray/auth_token, or its file into RAY_AUTH_TOKEN_PATH"
PROBE_S = 5.0


def token() -> str | None:
    """Return the token that Ray would use in this process, or None.

    Raises:
        ClusterError: the file that RAY_AUTH_TOKEN_PATH names cannot be read.
    """
    if os.environ.get("RAY_AUTH_TOKEN"):
        return os.environ["RAY_AUTH_TOKEN"].strip()
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else Path.home() / ".ray" / "auth_token"
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError as error:
        if named:
            raise ClusterError(f"RAY_AUTH_TOKEN_PATH: {named} cannot be read ({error.strerror})") from error
        return None


def check(address: str) -> bool:
    """Find out, quickly, whether a cluster can be reached and takes our token; Ray itself tries for 20 s and prints C++ warnings.

    Args:
        address: `host:port` of the head.

    Returns:
        Whether it asks for a token at all.

    Raises:
        ClusterError: nothing answers there, or it asks for a token that we do not have.
    """
    if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
        return True  # our plain question would not be understood
    answer = _ask(address, None)
    if answer == "OK":
        return False
    if answer == "UNAUTHENTICATED":
        held = token()
        if held is None:
            raise ClusterError(f"cluster.address: {address!r} asks for a token, and there is none here; {HOW}")
        answer = _ask(address, held)
        if answer == "OK":
            return True
        if answer == "UNAUTHENTICATED":
            raise ClusterError(f"cluster.address: {address!r} does not accept the token that is here; {HOW}")
    raise ClusterError(f"cluster.address: no Ray head answers at {address!r} ({answer}); is it up, and is this its address?")


def asked(address: str) -> str:
    """Ask a head that is known to take the token of this process, if it asks for any, and return gRPC's word for the answer; `OK` where it answers."""
    return _ask(address, token())


def _ask(address: str, held: str | None) -> str:
    """Ask the head for its cluster's id, the smallest question that needs a token, and return gRPC's word for the answer and why."""
    import grpc

    metadata = (("authorization", f"Bearer {held}"),) if held else ()
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        question = channel.unary_unary("/ray.rpc.NodeInfoGcsService/GetClusterId", request_serializer=bytes, response_deserializer=bytes)
        try:
            question(b"", timeout=PROBE_S, metadata=metadata)
        except grpc.RpcError as error:
            code = error.code()
            return code.name if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.DEADLINE_EXCEEDED) else one_line(ValueError(error.details()), 120)
    return "OK"


@contextmanager
def own(folder: str) -> Iterator[None]:
    """Give this process, and the Ray that it starts, a token of its own in the folder; whoever has set one, or RAY_AUTH_MODE, keeps it."""
    if os.environ.get("RAY_AUTH_MODE", "token") != "token" or os.environ.get("RAY_AUTH_TOKEN"):
        with _settings({}):
            yield
        return
    path = Path(folder) / "token"
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(secrets.token_hex(32))
    with _settings({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(path)}):
        yield


@contextmanager
def known(guarded: bool) -> Iterator[None]:
    """Let Ray show its token to a cluster that asks for one, whatever RAY_AUTH_MODE says."""
    with _settings({"RAY_AUTH_MODE": "token"} if guarded else {}):
        yield


@contextmanager
def _settings(values: dict[str, str]) -> Iterator[None]:
    saved = {name: os.environ[name] for name in NAMES if name in os.environ}
    os.environ.update(values)
    _reread()
    try:
        yield
    finally:
        for name in NAMES:
            os.environ.pop(name, None)
        os.environ.update(saved)
        _reread()


def _reread() -> None:
    """Let Ray 2.60, which reads mode and token once, read them again. The mode first: a thread of Ray that still runs must not miss its token."""
    from ray import _raylet

    _raylet.Config.initialize("")  # type: ignore[attr-defined]  # compiled, and without stubs
    _raylet.AuthenticationTokenLoader.instance().reset_cache()  # type: ignore[attr-defined]
