"""The check of the TLS certificate and key."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from icey.preflight.finding import Finding, failed, passed, warned

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cryptography.x509 import Certificate

    from icey.config.model import Settings

_EXPIRES_SOON = timedelta(days=14)
_RENEW = "renew it (certbot renew, or openssl req -x509 for a test)"


def check_tls(
    settings: Settings, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Finding:
    """Load the pair as the server will, then read its names and dates."""
    cert, key = settings.tls.cert, settings.tls.key
    if cert is None or key is None:
        return passed("off: plain HTTP")
    for path, setting in ((cert, "--tls-cert or tls.cert"), (key, "--tls-key or tls.key")):
        try:
            path.read_bytes()
        except OSError as error:
            return failed("cannot read ", path, f" ({error.strerror}): correct {setting}")
    try:
        _load(cert, key)
    except (ssl.SSLError, _EncryptedError) as error:
        return failed(*_advice(error, cert, key))

    from cryptography import x509  # noqa: PLC0415 - 60 ms that only TLS costs

    leaf = x509.load_pem_x509_certificates(cert.read_bytes())[0]
    return _check_leaf(leaf, cert, now())


class _EncryptedError(Exception):
    """The key asks for a passphrase."""


def _load(cert: Path, key: Path) -> None:
    def refuse() -> str:  # else OpenSSL would ask for it on the terminal
        raise _EncryptedError

    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=refuse)


def _advice(error: Exception, cert: Path, key: Path) -> tuple[str | Path, ...]:
    reason = getattr(error, "reason", None) or ""
    if isinstance(error, _EncryptedError):
        return (key, " is encrypted: take its passphrase off (openssl pkey -in KEY -out NEWKEY)")
    if "MISMATCH" in reason:
        advice = "; name the two files that were made together"
        return ("the private key ", key, " is not that of the certificate ", cert, advice)
    words = reason.replace("_", " ").lower() or "not PEM"
    advice = "both must be PEM, the certificate first in its file and its chain after it"
    return ("the pair of ", cert, " and ", key, f" cannot be loaded ({words}): {advice}")


def _check_leaf(leaf: Certificate, cert: Path, now: datetime) -> Finding:
    begins, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if ends <= now:
        return failed(cert, f" expired on {ends:%Y-%m-%d}: {_RENEW}")
    if begins > now:
        return failed(
            cert, f" is valid from {begins:%Y-%m-%d} only: wait, or correct this machine's clock"
        )
    names = _names(leaf)
    if not names:
        advice = "make one with the names that the page is opened by"
        return warned(cert, f" has no subjectAltName, so browsers refuse it: {advice}")
    what = f" for {names}, valid until {ends:%Y-%m-%d}"
    if ends - now < _EXPIRES_SOON:
        return warned(cert, f"{what}, in {(ends - now).days} days: {_RENEW}")
    return passed(cert, what)


def _names(leaf: Certificate) -> str:
    """The names that browsers accept it for (RFC 6125 §6.4), a few of many; or nothing."""
    from cryptography import x509  # noqa: PLC0415

    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    texts = [*names.get_values_for_type(x509.DNSName)]
    texts += [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return ", ".join(texts[:5]) + (f" and {len(texts) - 5} more" if len(texts) > 5 else "")
