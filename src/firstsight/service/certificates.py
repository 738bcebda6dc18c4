"""The service's own certificate, for networks where nobody else gives one.

A browser gives its camera only to a page that came over HTTPS. So the service is its own authority: a certificate of
ten years, which a tablet can be told to trust once, signs that of the service, which is made anew before it ends or
when the machine's addresses change. The authority may sign for addresses and for names in .local alone: whoever steals
its key can pass for no site of the internet.
"""

import hashlib
import os
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from firstsight.atomic import appearing_whole
from firstsight.errors import UserError
from firstsight.service.keys import failed, locked

LASTS = timedelta(days=397)
"""Browsers refuse certificates of more than 825 days; 398 is what they take from public authorities since 2020."""
RENEWED = timedelta(days=30)
"""So long before its end a certificate is made anew."""
_AUTHORITY_LASTS = timedelta(days=3650)
_SLOW_CLOCKS = timedelta(days=1)  # of tablets: it holds since yesterday


@dataclass(frozen=True)
class Certificate:
    """PEM files, and what browsers show of them. `authority` is the file that a device can be told to trust."""

    chain: Path
    key: Path
    fingerprint: str
    names: tuple[str, ...]
    ends: datetime
    authority: Path | None = None


@dataclass(frozen=True)
class _Pair:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def own_certificate(folder: Path, names: Sequence[str]) -> Certificate:
    """The certificate of this service for names and addresses: the one in `folder`, or a new one.

    It is made anew where it lacks one of `names`, ends within 30 days, or cannot be read.

    Raises:
        StorageError: the folder cannot be read or written.
    """
    chain, key, authority = folder / "certificate.pem", folder / "certificate.key", folder / "authority.pem"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / "certificate.lock"):
            root = _authority(authority, folder / "authority.key")
            now, held = datetime.now(UTC), _held(chain, key)
            if held is None or not _fits(held.certificate, root, names, now):
                held = _signed(root, names, now)
                _write(held, chain, key, root.certificate)
    except OSError as error:
        raise failed(f"The certificate in {folder}", "read or written", error) from error
    return _described(held.certificate, chain, key, authority)


def given_certificate(chain: Path, key: Path) -> Certificate:
    """A certificate that was made elsewhere.

    Raises:
        UserError: a file cannot be read, is no PEM, needs a password, the two do not belong together, or it is over.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain, key, password=_no_password)
        certificate = x509.load_pem_x509_certificates(chain.read_bytes())[0]
    except ssl.SSLError as error:
        reason = "they do not belong together" if error.reason == "KEY_VALUES_MISMATCH" else "they are no PEM files"
        raise UserError(
            f"{chain} and {key} cannot be used: {reason}.", hint="Give a PEM certificate, and its own key."
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = "Check the paths." if isinstance(error, OSError) else f"Take it off: openssl pkey -in {key} -out NEW"
        raise UserError(f"{chain} and {key} cannot be used: {reason}.", hint=hint) from error
    if certificate.not_valid_after_utc < datetime.now(UTC):
        raise UserError(f"{chain} ended on {certificate.not_valid_after_utc:%Y-%m-%d}.", hint="Renew it.")
    return _described(certificate, chain, key)


def _no_password() -> str:
    raise ValueError("the key needs a password")


def _described(certificate: x509.Certificate, chain: Path, key: Path, authority: Path | None = None) -> Certificate:
    digest = hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest().upper()
    return Certificate(
        chain=chain,
        key=key,
        fingerprint=":".join(digest[i : i + 2] for i in range(0, len(digest), 2)),
        names=tuple(_names_of(certificate)),
        ends=certificate.not_valid_after_utc,
        authority=authority,
    )


def _names_of(certificate: x509.Certificate) -> list[str]:
    try:
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [*held.get_values_for_type(x509.DNSName), *map(str, held.get_values_for_type(x509.IPAddress))]


def _fits(certificate: x509.Certificate, root: _Pair, names: Iterable[str], now: datetime) -> bool:
    try:
        certificate.verify_directly_issued_by(root.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return certificate.not_valid_after_utc - now > RENEWED and set(names) <= set(_names_of(certificate))


def _held(chain: Path, key: Path) -> _Pair | None:
    """What the files hold; None where they are not there or are damaged: both are made again then."""
    try:
        certificate = x509.load_pem_x509_certificate(chain.read_bytes())
        private = serialization.load_pem_private_key(key.read_bytes(), None)
    except (FileNotFoundError, ValueError, TypeError):
        return None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.public_key() != certificate.public_key():
        return None
    return _Pair(certificate, private)


def _write(pair: _Pair, chain: Path, key: Path, *issuers: x509.Certificate) -> None:
    """The key first: a certificate without its key is found out, and both are made again."""
    pem = serialization.Encoding.PEM
    with appearing_whole(key) as fresh:  # only its owner may read it
        fresh.write_bytes(pair.key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    with appearing_whole(chain, private=False) as fresh:
        fresh.write_bytes(b"".join(each.public_bytes(pem) for each in (pair.certificate, *issuers)))


def _authority(chain: Path, key: Path) -> _Pair:
    """The one in the files, or a new one where what it signs would outlive it."""
    now, root = datetime.now(UTC), _held(chain, key)
    if root is None or root.certificate.not_valid_after_utc - now < LASTS:
        root = _new_authority(now)
        _write(root, chain, key)
    return root


def _new_authority(now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _named(f"firstsight authority {os.urandom(4).hex()}")  # devices tell authorities apart by their names
    everywhere = [x509.IPAddress(ip_network(each)) for each in ("0.0.0.0/0", "::/0")]
    allowed = [x509.DNSName("local"), x509.DNSName("localhost"), *everywhere]
    built = (
        _begun(name, name, key, now, _AUTHORITY_LASTS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_may(sign=True), critical=True)
        .add_extension(x509.NameConstraints(permitted_subtrees=allowed, excluded_subtrees=None), critical=True)
    )
    return _Pair(built.sign(key, hashes.SHA256()), key)


def _signed(root: _Pair, names: Sequence[str], now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = root.certificate.subject
    built = (
        _begun(_named("firstsight"), issuer, key, now, LASTS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_may(sign=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root.key.public_key()),
            critical=False,
        )
    )
    return _Pair(built.sign(root.key, hashes.SHA256()), key)


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, lasts: timedelta
) -> x509.CertificateBuilder:
    since = now - _SLOW_CLOCKS
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(since + lasts)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _may(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign,
        crl_sign=sign,
        encipher_only=False,
        decipher_only=False,
    )
