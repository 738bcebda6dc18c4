"""Where `serve --lan` says it is, and what it refuses before a model is loaded."""

import json
import socket
import sys
from contextlib import closing
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from firstsight.cli import lan
from firstsight.cli.lan import certificates_for, show_addresses
from firstsight.cli.main import main
from firstsight.errors import UserError
from firstsight.places import data_folder
from firstsight.service import addresses
from firstsight.service.addresses import lan_addresses
from firstsight.service.keys import Keys
from firstsight.service.pairing import Codes
from firstsight.service.running import listen


def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: Any) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["firstsight", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        main()
    said = capsys.readouterr()
    return int(stop.value.code or 0), said.out, said.err


def test_private_addresses_come_first_and_those_of_this_machine_alone_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = [ip_address(each) for each in ("127.0.0.1", "8.8.4.4", "169.254.3.3", "fd00::2", "192.168.1.5", "10.0.0.3")]
    monkeypatch.setattr(addresses, "_outgoing", list)
    monkeypatch.setattr(addresses, "_of_interfaces", lambda: found)
    monkeypatch.setattr(addresses, "_of_name", lambda: found)
    assert [str(each) for each in lan_addresses()] == ["192.168.1.5", "10.0.0.3", "8.8.4.4", "fd00::2"]


def test_it_says_every_address_and_the_fingerprint_letter_by_letter(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lan, "lan_addresses", lambda: [ip_address("192.168.1.5"), ip_address("10.0.0.3")])
    monkeypatch.setattr(lan, "local_name", lambda: "door.local")
    certificate = certificates_for("0.0.0.0", lan=True, chain=None, key=None)
    assert certificate
    assert show_addresses("https://door:8443", "0.0.0.0", certificate) == "https://192.168.1.5:8443"
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["Open https://192.168.1.5:8443", "Also https://10.0.0.3:8443, https://door.local:8443"]
    assert said[2] == f"Fingerprint of its certificate (SHA-256): {certificate().fingerprint}"
    monkeypatch.setattr(lan, "lan_addresses", list)
    with pytest.raises(UserError, match="This machine is on no network"):
        certificates_for("0.0.0.0", lan=True, chain=None, key=None)


def test_half_a_certificate_and_a_wrong_host_are_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ("serve", "--port", 0)
    code, _, err = typed(capsys, monkeypatch, *words, "--certificate", tmp_path / "a.pem")
    assert (code, "A certificate and its key come together." in err) == (2, True)
    files = ("--certificate", tmp_path / "a.pem", "--certificate-key", tmp_path / "a.key")
    code, _, err = typed(capsys, monkeypatch, *words, *files)
    assert (code, "No such file" in err) == (2, True)
    code, _, err = typed(capsys, monkeypatch, *words, "--lan", "--host", "localhost")
    assert (code, "localhost is no address." in err) == (2, True)


def test_a_code_is_for_a_service_that_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    keys = Keys(data_folder() / "service" / "keys.json")

    def refused() -> bool:
        code, out, err = typed(capsys, monkeypatch, "serve", "pair", "--json")
        said = "No service with keys is running here, so a code would open nothing."
        return (code, out, said in err) == (2, "", True)

    assert refused(), "none was ever started"
    with Codes(keys).looked_at("https://192.168.1.7:8000"):
        pass
    assert refused(), "one was, and is gone"
    with Codes(keys).looked_at("https://192.168.1.6:8000"), Codes(keys).looked_at("https://192.168.1.5:8000"):
        code, out, _ = typed(capsys, monkeypatch, "serve", "pair", "--json")
    made = json.loads(out)
    assert (code, made["address"]) == (0, f"https://192.168.1.5:8000/pair.html#{made['code']}")
    assert refused(), "it ended"


def test_no_answer_waits_for_an_acknowledgment() -> None:
    with closing(listen("127.0.0.1", 0)) as here, socket.create_connection(here.socket.getsockname()):
        accepted, _ = here.socket.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
