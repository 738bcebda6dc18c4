"""How `serve` shows itself to other machines: addresses, the certificate's fingerprint, and the code for a tablet."""

import sys
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from firstsight.cli.console import err, print_json
from firstsight.cli.console import out as console
from firstsight.errors import UserError
from firstsight.places import data_folder
from firstsight.service.addresses import in_address, is_loopback, lan_addresses, local_name
from firstsight.service.certificates import Certificate, given_certificate, own_certificate
from firstsight.service.pairing import MINUTES, Codes, Invitation


def certificates_for(host: str, *, lan: bool, chain: Path | None, key: Path | None) -> Callable[[], Certificate] | None:
    """What gives the certificate to serve with, whenever it is asked; None: none is wanted.

    Raises:
        UserError: half a certificate; no network; a host that the own certificate cannot be for.
    """
    if chain and key:
        given_certificate(chain, key)  # refuses before the model is loaded
        return lambda: given_certificate(chain, key)
    if chain or key:
        raise UserError(
            "A certificate and its key come together.", hint="Give both: --certificate FILE --certificate-key FILE"
        )
    if not lan:
        return None
    _addresses(host)
    folder = data_folder() / "service"
    return lambda: own_certificate(folder, [*_addresses(host), local_name(), "localhost", "127.0.0.1"])


def show_address(address: str) -> str:
    """Print where to go; the address again."""
    console.print(f"Open {address}", markup=False)
    return address


def show_addresses(address: str, host: str, certificate: Callable[[], Certificate]) -> str:
    """Print where else to go, and how to know that it is this service; the first address again."""
    held, port = certificate(), urlsplit(address).port
    hosts = [host]
    if _is_address(host):
        hosts = [*_addresses(host), *([] if is_loopback(host) else [local_name()])]
    if held.authority is None:
        named = [name for name in held.names if not name.startswith("*")]
        hosts = named or hosts
    elif ip_address(hosts[0]).is_global:
        err.print("This address belongs to the internet: let a firewall keep others out.", style="yellow")
    first, *others = dict.fromkeys(f"https://{in_address(each)}:{port}" for each in hosts)
    show_address(first)
    if others:
        console.print(f"Also {', '.join(others)}", markup=False)
    # :CD: would be shown as a disc
    console.print(f"Fingerprint of its certificate (SHA-256): {held.fingerprint}", markup=False, emoji=False)
    if held.authority:
        console.print(f"A device that trusts {first}/v1/pairing/authority asks no more about it.", markup=False)
    return first


def invite(codes: Codes, address: str) -> None:
    """Invite a tablet at once on a terminal; elsewhere say how."""
    if console.is_terminal:
        show_invitation(codes.make(), address)
    else:
        console.print("Pair a tablet: firstsight serve pair")


def show_invitation(invitation: Invitation, address: str, *, json: bool = False) -> None:
    """Print a code, and on a terminal as a QR code too."""
    where = invitation.at(address)
    if json:
        print_json({"code": invitation.code, "address": where, "ends": invitation.ends.isoformat()})
        return
    console.print(f"Pair a tablet within {MINUTES} minutes: {where}", markup=False)
    if console.is_terminal:
        import segno

        segno.make(where, micro=False).terminal(sys.stdout, compact=True)


def _addresses(host: str) -> list[str]:
    """Where other machines find what listens on `host`."""
    if not _is_address(host):
        raise UserError(f"{host} is no address.", hint="With --lan, give an address of this machine, or none.")
    if not ip_address(host).is_unspecified:
        return [host]
    found = [str(each) for each in lan_addresses() if ":" in host or each.version == 4]
    if not found:
        raise UserError("This machine is on no network.", hint="Connect it, or name an address: --host ADDRESS")
    return found


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
