"""The service's own certificate: what a browser takes, kept until it must be made anew; and those of others."""

import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvicorn
from cryptography import x509

from firstsight.errors import StorageError, UserError
from firstsight.service import certificates, running
from firstsight.service.certificates import given_certificate, own_certificate

NAMES = ["192.0.2.7", "fd00::7", "door.local", "localhost"]


def shake_hands(folder: Path, name: str) -> None:
    """What a browser that trusts the authority does: raises ssl.SSLCertVerificationError if it would refuse."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.load_cert_chain(folder / "certificate.pem", folder / "certificate.key")
    client.load_verify_locations(folder / "authority.pem")
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        server.wrap_bio(to_server, to_client, server_side=True),
        client.wrap_bio(to_client, to_server, server_hostname=name),
    ]
    while ends:
        for end in list(ends):
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                continue


def test_who_trusts_the_authority_takes_each_name_and_no_other(tmp_path: Path) -> None:
    made = own_certificate(tmp_path, NAMES)
    for name in NAMES:
        shake_hands(tmp_path, name)
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
        shake_hands(tmp_path, "192.0.2.8")
    assert len(made.fingerprint.split(":")) == 32
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("*.key")} == {0o600}


def test_it_lasts_as_browsers_allow(tmp_path: Path) -> None:
    own_certificate(tmp_path, NAMES)
    held = x509.load_pem_x509_certificates((tmp_path / "certificate.pem").read_bytes())[0]
    assert held.not_valid_after_utc - held.not_valid_before_utc < timedelta(days=398)
    assert held.not_valid_before_utc < datetime.now(UTC) - timedelta(hours=12), "clocks of tablets go wrong"


def test_a_stolen_authority_passes_for_no_site_of_the_internet(tmp_path: Path) -> None:
    own_certificate(tmp_path, ["bank.example", "192.0.2.7"])
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        shake_hands(tmp_path, "bank.example")


def test_it_is_kept_until_an_address_is_new_or_its_end_is_near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = own_certificate(tmp_path, NAMES)
    trusted = (tmp_path / "authority.pem").read_bytes()
    assert own_certificate(tmp_path, NAMES) == own_certificate(tmp_path, NAMES[:2]) == first
    moved = own_certificate(tmp_path, [*NAMES, "10.0.0.9"])
    assert moved.fingerprint != first.fingerprint
    shake_hands(tmp_path, "10.0.0.9")
    with monkeypatch.context() as patched:
        patched.setattr(certificates, "LASTS", timedelta(days=25))
        (tmp_path / "certificate.pem").unlink()
        ending = own_certificate(tmp_path, NAMES)
    assert own_certificate(tmp_path, NAMES).ends - ending.ends > timedelta(days=300)
    assert (tmp_path / "authority.pem").read_bytes() == trusted, "what devices trust stays"


@pytest.mark.parametrize("damaged", ["certificate.pem", "certificate.key", "authority.pem", "authority.key"])
def test_what_is_damaged_is_made_again(tmp_path: Path, damaged: str) -> None:
    own_certificate(tmp_path, NAMES)
    (tmp_path / damaged).write_text("-----BEGIN CERTIFICATE-----\nnone\n")
    own_certificate(tmp_path, NAMES)
    shake_hands(tmp_path, "door.local")


def test_files_of_others_are_taken_or_refused_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = own_certificate(tmp_path / "one", NAMES)
    given = given_certificate(made.chain, made.key)
    assert (given.fingerprint, set(given.names), given.authority) == (made.fingerprint, set(NAMES), None)
    other = own_certificate(tmp_path / "two", NAMES)
    with pytest.raises(UserError, match="they do not belong together"):
        given_certificate(made.chain, other.key)
    with pytest.raises(UserError, match="No such file"):
        given_certificate(tmp_path / "none.pem", made.key)
    (tmp_path / "text.pem").write_text("hello")
    with pytest.raises(UserError, match="they are no PEM files"):
        given_certificate(tmp_path / "text.pem", made.key)
    monkeypatch.setattr(certificates, "LASTS", timedelta(hours=3))
    over = own_certificate(tmp_path / "three", NAMES)
    with pytest.raises(UserError, match="ended on"):
        given_certificate(over.chain, over.key)


def test_one_that_was_renewed_while_the_service_runs_is_used_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_LOOKED_AT", 0.001)
    taken, names, tried = threading.Event(), [*NAMES, "10.0.0.9"], iter([True])

    class Context:
        def load_cert_chain(self, chain: Path, key: Path) -> None:
            assert b"BEGIN" in chain.read_bytes() + key.read_bytes()
            taken.set()

    def renewed() -> certificates.Certificate:
        if next(tried, False):
            raise StorageError("The disk is full.", hint="")
        return own_certificate(tmp_path, names)

    config = uvicorn.Config("", log_config=None)
    config.ssl = Context()  # type: ignore[assignment]
    with running._renewing(config, renewed):
        assert taken.wait(30), "and what failed once is tried again"
