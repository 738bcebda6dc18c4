"""What the storages share: is it a gallery, and is it in the newest format?"""

import sqlalchemy as sa

from firstsight.errors import GalleryError
from firstsight.recognition.schema import FORMAT, VERSION_TABLE


def format_of(connection: sa.Connection, where: str) -> str | None:
    """The format the database is in; None if it is new.

    Raises:
        GalleryError: another program's database, or one from a newer firstsight.
    """
    tables = sa.inspect(connection).get_table_names()
    if VERSION_TABLE not in tables:
        if tables:
            raise GalleryError(f"{where} is another program's database.", hint="Name a gallery, or a new one.")
        return None
    found = str(connection.scalar(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")))
    refuse_newer(found, where)
    return found


def refuse_newer(found: str, where: str) -> None:
    """Raises GalleryError: the format is one of a newer firstsight."""
    if found > FORMAT:
        raise GalleryError(
            f"{where} was written by a newer firstsight (format {found}; this one knows up to {FORMAT}).",
            hint="Type: pip install --upgrade firstsight",
        )


def migrate(connection: sa.Connection) -> None:
    """Bring it to the newest format, in the transaction of the caller."""
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "firstsight.recognition:migrations")
    command.upgrade(config, "head")
