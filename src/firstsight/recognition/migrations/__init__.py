"""The gallery's formats, one file each, run by storage.py through Alembic."""
