"""`dp2 serve`: the web page and its API."""

from __future__ import annotations

import contextlib
import ipaddress
from typing import TYPE_CHECKING, Any

import click

from dp2.cli.command import GroupedCommand, option
from dp2.cli.inputs import DEFAULT_CONFIG

if TYPE_CHECKING:
    from dp2.web.app import Door

_WHERE = "Where"
_WHO = "Who may use it"
_LIMITS = "Limits"


@click.command(cls=GroupedCommand, context_settings={"help_option_names": ["-h", "--help"]})
@option(_WHERE, "--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@option(
    _WHERE,
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="0 = any that is free.",
)
@option(_WHERE, "--tls-cert", type=click.Path(exists=True, dir_okay=False), help="Serve over HTTPS: certificate.")
@option(_WHERE, "--tls-key", type=click.Path(exists=True, dir_okay=False), help="Serve over HTTPS: private key.")
@option(
    _WHO,
    "--auth",
    metavar="USER:PASSWORD",
    help="Or @FILE, or the variable DP2_WEB_AUTH, which others on this machine cannot see."
    " Needed for any address but this machine's own.",
)
@option(_WHO, "--allow-host", multiple=True, metavar="NAME", help="A further name of this server; may be repeated.")
@option(_LIMITS, "--max-upload", type=click.IntRange(1), default=500, show_default=True, help="Megabytes of a file.")
@option(
    _LIMITS,
    "--max-pixels",
    type=click.IntRange(1),
    default=50_000_000,
    show_default=True,
    help="Of a picture or frame.",
)
@option(_LIMITS, "--max-duration", type=click.FloatRange(1), default=600, show_default=True, help="Seconds of a video.")
@option(_LIMITS, "--job-time", type=click.FloatRange(1), default=3600, show_default=True, help="Seconds of a job.")
@option(
    _LIMITS,
    "--delete-after",
    type=click.FloatRange(1),
    default=60,
    show_default=True,
    help="Minutes without use after which uploads and results are deleted.",
)
@option("Running", "--config", default=DEFAULT_CONFIG, show_default=True, metavar="NAME", help="Offered first.")
@option(
    "Running",
    "--device",
    "devices",
    multiple=True,
    metavar="NAME",
    help="As of `dp2 anonymize`; repeated, each gets a worker of its own, and as many jobs run at a time.",
)
def serve(**options: Any) -> None:
    """Open dp2 in a browser, on this machine.

    The page needs no internet and sends nothing to anybody. Needs pip install 'dp2[web]'.
    """
    from dp2.extras import is_installed, missing_extra

    if not is_installed("web"):
        raise missing_extra("dp2 serve", "web")
    import uvicorn

    from dp2.web.app import build_app
    from dp2.web.limits import Limits
    from dp2.web.server import server_config
    from dp2.web.service import Service, check_anonymizer
    from dp2.web.socket import listen

    door = _door(options)
    limits = Limits(
        upload_bytes=options["max_upload"] * 1_000_000,
        session_bytes=max(4 * options["max_upload"] * 1_000_000, Limits.session_bytes),
        pixels=options["max_pixels"],
        video_seconds=options["max_duration"],
        job_seconds=options["job_time"],
        keep_seconds=options["delete_after"] * 60,
    )
    check_anonymizer(options["config"])
    with listen(options["host"], options["port"]) as socket, contextlib.suppress(KeyboardInterrupt):
        service = Service(limits, tuple(options["devices"]) or (None,), options["config"])
        scheme = "https" if door.secure else "http"
        click.echo(
            f"dp2 is at {scheme}://{_shown(options['host'])}:{socket.getsockname()[1]}  (Ctrl-C ends it)", err=True
        )
        config = server_config(
            build_app(service, door), ssl_certfile=options["tls_cert"], ssl_keyfile=options["tls_key"]
        )
        uvicorn.Server(config).run(sockets=[socket])


def _door(options: dict[str, Any]) -> Door:
    """Who is let in, by the options.

    Raises:
        UsageError: others could reach the server without a password, or only half of a certificate is given.
    """
    from dp2.errors import UsageError
    from dp2.web.app import Door
    from dp2.web.auth import is_loopback, read_credentials

    host = options["host"]
    credentials = read_credentials(options["auth"])
    if not is_loopback(host) and credentials is None:
        raise UsageError(f"--host {host}: others can reach that address, so --auth user:password is needed.")
    if (options["tls_cert"] is None) != (options["tls_key"] is None):
        raise UsageError("--tls-cert and --tls-key go together.")
    names = {*Door().hosts, *(name.lower() for name in options["allow_host"])}
    return Door(
        hosts=frozenset(names | {host.lower()}),
        any_address=_is_unspecified(host),
        credentials=credentials,
        secure=options["tls_cert"] is not None,
    )


def _is_unspecified(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
