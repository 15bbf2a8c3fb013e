"""The TLS pair, made for each case and really loaded."""

import ipaddress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from icey.config.model import Settings, TlsSettings
from icey.preflight.certificate import check_tls
from icey.preflight.finding import render

NOW = datetime.now(UTC)


def make_key():
    return ec.generate_private_key(ec.SECP256R1())


def write_key(path, key, passphrase=None):
    encryption = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    )
    return path


def write_cert(
    path, key, *, begins=NOW - timedelta(days=1), ends=NOW + timedelta(days=90), san=True
):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "cam.example.org")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
    if san:
        names = [
            x509.DNSName("cam.example.org"),
            x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
        ]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def check(tmp_path):
    """Check a pair; returns the result and the detail as the operator sees it."""

    def run(cert, key):
        finding = check_tls(Settings(tls=TlsSettings(cert=cert, key=key)))
        assert str(tmp_path) not in render(finding.detail, public=True)
        return finding.result, render(finding.detail, public=False)

    return run


def test_no_tls(check):
    """Without a pair there is nothing to load."""
    assert check(None, None) == ("pass", "off: plain HTTP")


def test_good_pair(tmp_path, check):
    """A good pair passes, with its names and its last day."""
    key = make_key()
    cert = write_cert(tmp_path / "c.pem", key)
    result, detail = check(cert, write_key(tmp_path / "k.pem", key))
    assert result == "pass"
    assert "cam.example.org, 192.0.2.1" in detail
    assert f"valid until {NOW + timedelta(days=90):%Y-%m-%d}" in detail


def test_expired(tmp_path, check):
    """An expired certificate fails, says when it did, and how to renew it."""
    key = make_key()
    ended = NOW - timedelta(days=3)
    cert = write_cert(tmp_path / "c.pem", key, begins=ended - timedelta(days=9), ends=ended)
    result, detail = check(cert, write_key(tmp_path / "k.pem", key))
    assert result == "fail"
    assert f"expired on {ended:%Y-%m-%d}: renew it" in detail


def test_not_yet_valid(tmp_path, check):
    """A certificate of the future fails, and the clock is suspected."""
    key = make_key()
    cert = write_cert(tmp_path / "c.pem", key, begins=NOW + timedelta(days=2))
    result, detail = check(cert, write_key(tmp_path / "k.pem", key))
    assert result == "fail"
    assert "clock" in detail


def test_expires_soon(tmp_path, check):
    """A certificate with a few days left warns."""
    key = make_key()
    cert = write_cert(tmp_path / "c.pem", key, ends=NOW + timedelta(days=3, hours=1))
    result, detail = check(cert, write_key(tmp_path / "k.pem", key))
    assert result == "warn"
    assert "in 3 days: renew it" in detail


def test_no_names(tmp_path, check):
    """A certificate without a subjectAltName warns: browsers refuse it."""
    key = make_key()
    cert = write_cert(tmp_path / "c.pem", key, san=False)
    result, detail = check(cert, write_key(tmp_path / "k.pem", key))
    assert result == "warn"
    assert "subjectAltName" in detail


def test_mismatch(tmp_path, check):
    """A key of another certificate fails, and both files are named."""
    cert = write_cert(tmp_path / "c.pem", make_key())
    key = write_key(tmp_path / "k.pem", make_key())
    result, detail = check(cert, key)
    assert result == "fail"
    assert "is not that of the certificate" in detail
    assert str(cert) in detail
    assert str(key) in detail


def test_encrypted_key(tmp_path, check):
    """A key with a passphrase fails at once: nobody is asked for it on the terminal."""
    key = make_key()
    cert = write_cert(tmp_path / "c.pem", key)
    result, detail = check(cert, write_key(tmp_path / "k.pem", key, b"pass"))
    assert result == "fail"
    assert "take its passphrase off" in detail


@pytest.mark.parametrize("missing", ["cert", "key"])
def test_missing_file(tmp_path, check, missing):
    """A file that is not there fails and names the setting to correct."""
    key = make_key()
    paths = {
        "cert": write_cert(tmp_path / "c.pem", key),
        "key": write_key(tmp_path / "k.pem", key),
        missing: tmp_path / "none.pem",
    }
    result, detail = check(paths["cert"], paths["key"])
    assert result == "fail"
    assert "No such file" in detail
    assert f"--tls-{missing} or tls.{missing}" in detail


@pytest.mark.parametrize("content", [b"", b"no PEM", b"\x00\xff" * 500])
def test_garbage(tmp_path, check, content):
    """Files that are not PEM fail and say what is wanted."""
    (tmp_path / "c.pem").write_bytes(content)
    result, detail = check(tmp_path / "c.pem", tmp_path / "c.pem")
    assert result == "fail"
    assert "both must be PEM" in detail
