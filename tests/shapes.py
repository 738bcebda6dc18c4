"""The checker that the tests put behind every annotation of firstsight: shapes, dtypes and types."""

from beartype import BeartypeConf, beartype

# a whole number is fine where a float is asked for (PEP 484)
checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
