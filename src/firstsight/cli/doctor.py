from dataclasses import asdict

from firstsight.cli.console import out as console
from firstsight.cli.console import print_json
from firstsight.cli.options import Json


def doctor(*, json: Json = False) -> int:
    """Check this machine: versions, device, bfloat16, disk, database, and one embedding from end to end.

    Each check prints ✔, or ✘ with its mend; the exit code is 1 where one failed.

    Example: firstsight doctor
    """
    from firstsight.workflows.doctor import examine

    well = True
    for check in examine():
        well = well and check.ok
        if json:
            print_json(asdict(check))
            continue
        console.print(f"[green]✔[/green] {check.name}: " if check.ok else f"[red]✘ {check.name}:[/red] ", end="")
        console.print(check.found, markup=False)
        if check.mend:
            console.print(f"  {check.mend}", markup=False)
    return 0 if well else 1
