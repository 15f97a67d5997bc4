"""The command `alignmamba`: the app, the results of one clip or many, features, model files, and what a machine lacks.

Each subcommand hands over to the part that does the work; `extract` and `corpus` have the options of
`python -m extractors` and `python -m extractors.corpus`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import urllib.request
from pathlib import Path
from threading import Thread
from typing import Annotated

import typer

MAIN = Path(__file__).resolve().parents[1] / "main.py"
PORT = 8501
START_SECONDS = 120.0  # in which the server must have answered, else no browser is opened
# Subcommands that take their options to a parser of their own.
HANDED_OVER = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

cli = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@cli.callback()
def about() -> None:
    """Sentiment from audio, video and text by AlignMamba (CVPR 2025)."""


@cli.command()
def demo(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of this machine, where the app listens.")] = PORT,
    browser: Annotated[bool, typer.Option(help="Whether to open a browser where there is a screen.")] = True,
) -> None:
    """Fetch the model files that are missing, then open the app in a browser."""
    from streamlit.web.cli import main_run

    from extractors.assets import registry

    if registry.main():
        raise typer.Exit(1)
    if browser and has_screen():
        Thread(target=_open_when_ready, args=(f"http://localhost:{port}",), name="browser", daemon=True).start()
    flags = [] if browser else ["--server.headless=true"]
    main_run([str(MAIN), f"--server.port={port}", *flags])


def has_screen() -> bool:
    """Whether a browser could be shown here: everywhere but on a Linux without a display server."""
    return sys.platform != "linux" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _open_when_ready(address: str) -> None:
    """Open a browser once the server answers; Streamlit does not for an `st.App`."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError):  # the server does not listen yet
            urllib.request.urlopen(f"{address}/_stcore/health", timeout=1).close()  # noqa: S310  # http, this machine
            typer.launch(address)
            return
        time.sleep(0.1)


@cli.command()
def analyse(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A video or audio file.")],
    json: Annotated[bool, typer.Option("--json", help="The whole result, as alignmamba/result/schema.json.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="One row: score, interval, probabilities, words.")] = False,
    html: Annotated[bool, typer.Option("--html", help="The report: one self-contained page.")] = False,
    out: Annotated[Path | None, typer.Option(help="File to write; the terminal if not given.")] = None,
    transcript: Annotated[str | None, typer.Option(help="What is said; recognised if not given.")] = None,
    captions: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="File with what is said: SRT, WebVTT or others.")
    ] = None,
) -> None:
    """Predict the sentiment of a clip."""
    from app.cli import results

    chosen = [name for name, asked in (("json", json), ("csv", csv), ("html", html)) if asked]
    if len(chosen) > 1:
        raise typer.BadParameter(f"--{' and --'.join(chosen)} were given, expected one of them")
    if transcript and os.path.isfile(transcript):
        raise typer.BadParameter(f"--transcript: {transcript} is a file, expected words; --captions reads a file")
    try:
        made = results.made(file, chosen[0] if chosen else "text", transcript=transcript, captions=captions)
        if out is None:
            sys.stdout.buffer.write(made)
        else:
            out.write_bytes(made)
    except results.FAILURES as error:
        typer.echo(results.reason(error), err=True)
        raise typer.Exit(1) from error


@cli.command()
def batch(
    source: Annotated[Path, typer.Argument(exists=True, readable=True, help="A folder or a ZIP archive of clips.")],
    out: Annotated[Path, typer.Option(help="CSV file to write: one row a clip.")] = Path("batch.csv"),
    missing: Annotated[Path | None, typer.Option(help="CSV file to write: what missing modalities change.")] = None,
) -> None:
    """Predict the sentiment of many clips, with speakers and labels from a CSV file among them."""
    from app.cli import many

    rows = many.analysed(source, report=lambda line: typer.echo(line, err=True))
    try:
        out.write_bytes(many.clips_csv(rows))
        if missing is not None:
            missing.write_bytes(many.changes_csv(rows))
    except OSError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    if not any(row.found for row in rows):
        raise typer.Exit(1)


@cli.command(context_settings=HANDED_OVER)
def extract(context: typer.Context) -> None:
    """Extract the features of a clip and describe them."""
    from extractors.__main__ import main

    raise typer.Exit(main(context.args, prog="alignmamba extract"))


@cli.command(context_settings=HANDED_OVER)
def corpus(context: typer.Context) -> None:
    """Extract the features of many clips; resumable."""
    from extractors.corpus.run import main

    raise typer.Exit(main(context.args, prog="alignmamba corpus"))


@cli.command()
def models() -> None:
    """Fetch the model files that are missing and say where they all are."""
    from extractors.assets import registry

    raise typer.Exit(registry.main())


@cli.command()
def doctor() -> None:
    """Say what is installed, what this machine lacks, and what to do about it."""
    from app.cli import doctor as examination

    raise typer.Exit(examination.main())


def main() -> None:
    """Run the command."""
    cli(prog_name="alignmamba")
