"""``station policy-server``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from station import sessions
from station.commands.options import DeviceOption, complete_sessions
from station.compute import device_name
from station.plain import say

if TYPE_CHECKING:
    from station.policy_server import PolicyServer


def policy_server(
    place: Annotated[
        str,
        typer.Argument(
            metavar="SESSION",
            help="Session folder or name, or a copy of its folder 'base'.",
            autocompletion=complete_sessions,
        ),
    ],
    *,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")] = 8765,
    device: DeviceOption = None,
    threads: Annotated[
        int, typer.Option("--threads", min=1, help="Threads of one computation on the cpu.")
    ] = 1,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="File with the token; made if missing. Default: policy-token beside your config file.",
        ),
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option("--certificate", metavar="FILE", help="Certificate (PEM): encrypt, serve wss://."),
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="The certificate's private key (PEM).")
    ] = None,
) -> None:
    """Compute a session's base policy for a robot's computer without a GPU, until Ctrl-C.

    1. Here, where the GPU is: station policy-server mine
    2. Copy the token file that it names to the robot's computer.
    3. There, tunnel the port: ssh -N -L 8765:localhost:8765 THIS_MACHINE
    4. There: station run mine --policy-server ws://localhost:8765

    Both ends need the same base policy; here, a copy of the session's folder
    'base' is enough. Clients of openpi are answered too. Every step, and how
    to do without the tunnel: station guide remote-policy
    """
    import torch

    from station.policy_access import made_token
    from station.policy_server import PolicyServer, answers_for, certified

    tls = certified(certificate, key)
    token, new = made_token(token_file)
    torch.set_num_threads(threads)
    folder = sessions.at_home(place) if sessions.at_home(place).is_dir() else sessions.find(place)
    server = PolicyServer(
        answers_for(folder, device=device_name(device)), token, host=host, port=port, tls=tls
    )
    _warn(server)
    server.serve(lambda: _introduce(server, token_file, new=new))


def _warn(server: PolicyServer) -> None:
    from station.browser import LOOPBACK

    if server.host not in LOOPBACK and server.tls is None:
        say(
            "Warning: images and the token cross the network unencrypted. Use --certificate and --key, or an SSH "
            f"tunnel with the default host: ssh -N -L {server.port}:localhost:{server.port} THIS_MACHINE",
            err=True,
        )


def _introduce(server: PolicyServer, token_file: Path | None, *, new: bool) -> None:
    import os

    from station.policy_access import TOKEN, token_path

    said = server.metadata
    say(f"The base policy {said['hash'][:16]} computes on {said['device']}, at {server.address}")
    if TOKEN in os.environ:
        say(f"The token is that of {TOKEN}; clients need it too. Ctrl-C ends the server.")
    else:
        made = "A token was made: clients" if new else "Clients"
        say(f"{made} need a copy of {token_path(token_file)}. Ctrl-C ends the server.")
