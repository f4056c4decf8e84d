"""What the TLS options mean together, the context that they make, and a new certificate for it.

`nsqd.service` asks at the start, `nsqd.reload` at every SIGHUP; the texts of what cannot work are NSQ's.
"""

import ssl

from millstream.base.errors import MillstreamError, OptionError
from millstream.net.tls import ClientAuth, ServerTls, server_context
from millstream.nsqd.options import DaemonOptions


def tls_context(options: DaemonOptions) -> ssl.SSLContext | None:
    """The context of TCP and HTTPS; None without a certificate. Raises OptionError."""
    if not options.tls_cert and not options.tls_key:
        if options.tcp_needs_tls:
            raise OptionError("cannot require TLS client connections without TLS key and cert")
        return None
    policy = options.tls_client_auth_policy
    known = {choice.value: choice for choice in ClientAuth}
    try:
        return server_context(
            ServerTls(
                cert_path=options.tls_cert,
                key_path=options.tls_key,
                root_ca_path=options.tls_root_ca_file,
                client_auth=known.get(policy, ClientAuth.NONE),
                min_version=options.tls_min_version or "tls1.0",
            )
        )
    except MillstreamError as error:
        raise OptionError(f"failed to build TLS config - {error}") from error


def renew_certificate(context: ssl.SSLContext, options: DaemonOptions) -> list[str]:
    """Load certificate and key again: handshakes from now on show the new one. What changed, for the log.

    Raises OptionError when they cannot be used, and then the running context was not touched.
    """
    if tls_context(options) is None:
        raise OptionError("the certificate cannot be taken away while nsqd runs: restart it without --tls-cert")
    context.load_cert_chain(options.tls_cert, options.tls_key, password="")
    return ["the TLS certificate"]
