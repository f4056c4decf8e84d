"""`nsqd.security`: what the TLS options mean together."""

from pathlib import Path
from typing import Any

import pytest
import trustme

from millstream.base.errors import OptionError
from millstream.base.options import from_mapping, parse
from millstream.nsqd.options import DaemonOptions
from millstream.nsqd.security import renew_certificate, tls_context


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    keyed = trustme.CA().issue_cert("localhost")
    keyed.private_key_pem.write_to_path(tmp_path / "key.pem")
    keyed.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    return {"tls_cert": str(tmp_path / "cert.pem"), "tls_key": str(tmp_path / "key.pem")}


def required(*flags: str) -> tuple[bool, bool]:
    options = parse(DaemonOptions, flags, program="nsqd")
    return options.tcp_needs_tls, options.http_needs_tls


def test_tls_required_has_three_values_and_stands_alone() -> None:
    assert required() == (False, False)
    assert required("--tls-required") == (True, True)
    for value in ("true", "T", "1", "TRUE"):
        assert required(f"--tls-required={value}") == (True, True)
    for value in ("false", "F", "0"):
        assert required(f"--tls-required={value}") == (False, False)
    for value in ("tcp-https", "TCP-HTTPS"):
        assert required(f"--tls-required={value}") == (True, False)


def test_the_file_may_say_it_as_a_boolean() -> None:
    assert from_mapping(DaemonOptions, {"tls_required": True}).http_needs_tls
    assert not from_mapping(DaemonOptions, {"tls_required": False}).tcp_needs_tls


def test_a_policy_of_any_name_requires_tls() -> None:
    assert required("--tls-client-auth-policy=whatever") == (True, True)
    assert required("--tls-client-auth-policy=require", "--tls-required=tcp-https") == (True, False)


def test_without_a_certificate_there_is_no_context_and_tls_cannot_be_required() -> None:
    assert tls_context(DaemonOptions()) is None
    with pytest.raises(OptionError, match="cannot require TLS client connections without TLS key and cert"):
        tls_context(DaemonOptions(tls_required="true"))


def test_a_certificate_without_its_key_is_refused(files: dict[str, Any]) -> None:
    for name, value in files.items():
        with pytest.raises(OptionError, match="failed to build TLS config - a certificate and its key"):
            tls_context(DaemonOptions(**{name: value}))


@pytest.mark.parametrize(
    "more", [{}, {"tls_min_version": ""}, {"tls_client_auth_policy": "whatever"}, {"tls_client_auth_policy": "require"}]
)
def test_what_can_work_makes_a_context(files: dict[str, Any], more: dict[str, Any]) -> None:
    assert tls_context(DaemonOptions(**files, **more)) is not None


def test_what_identify_may_grant_follows_the_options(files: dict[str, Any]) -> None:
    plain = DaemonOptions(max_deflate_level=3).features()
    tls = DaemonOptions(**files, snappy=False, deflate=False).features()

    assert (plain.tls, plain.snappy, plain.deflate, plain.max_deflate_level) == (False, True, True, 3)
    assert (tls.tls, tls.snappy, tls.deflate) == (True, False, False)


def test_a_renewed_certificate_that_cannot_be_used_changes_nothing(files: dict[str, Any]) -> None:
    context = tls_context(DaemonOptions(**files))
    assert context is not None
    Path(files["tls_cert"]).write_text("rubbish")

    with pytest.raises(OptionError, match="failed to build TLS config"):
        renew_certificate(context, DaemonOptions(**files))
    with pytest.raises(OptionError, match="cannot be taken away"):
        renew_certificate(context, DaemonOptions())
