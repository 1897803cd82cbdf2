"""`keystead serve`: the server in the foreground."""

from typing import TYPE_CHECKING, Annotated

import typer

from keystead.cli.options import Config, Database, read_settings
from keystead.core.errors import StartupError

if TYPE_CHECKING:
    from keystead.config import Settings


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes any free one.")] = None,
    database: Database = None,
    config: Config = None,
    tls_certificate: Annotated[str | None, typer.Option(metavar="PATH", help="PEM file, with the chain.")] = None,
    tls_key: Annotated[str | None, typer.Option(metavar="PATH", help="PEM file with the private key.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    log_format: Annotated[str | None, typer.Option(help="json or console.")] = None,
) -> None:
    """Start the server. It needs no setting; docs/settings.md and `keystead config` list all there are."""
    settings = read_settings(
        serving=True,
        host=host,
        port=port,
        database_url=database,
        config=config,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        log_level=log_level,
        log_format=log_format,
    )
    check_tls(settings)
    # Here, not at the top: it imports the whole server, which the other commands must not wait for.
    from keystead import assembly

    raise typer.Exit(assembly.serve(settings))


def check_tls(settings: "Settings") -> None:
    """Refuse a certificate or key that can't be used, with a StartupError instead of uvicorn's traceback."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return
    import ssl

    for name, path in (("tls_certificate", settings.tls_certificate), ("tls_key", settings.tls_key)):
        try:
            path.read_bytes()
        except OSError as error:
            raise StartupError(f"setting {name} (from {settings.origin(name)}): {path}: {error.strerror}") from None
    try:
        # The empty passphrase: without one OpenSSL would stop to ask on the terminal.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, password="")
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or "not PEM"
        raise StartupError(
            f"tls_certificate {settings.tls_certificate} and tls_key {settings.tls_key} can't be used"
            f" ({reason}); they take a PEM certificate chain and its key without a passphrase"
        ) from None
