"""Tables as parquet files: rows in and out, by the columns of `glagol.archive.rows`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import parquet

from glagol.archive.sources import no_column
from glagol.core.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["decoded", "encoded", "names"]

_SIMPLE = {
    "string": pa.string(),
    "int64": pa.int64(),
    "double": pa.float64(),
    "bool": pa.bool_(),
}


def encoded(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, Any]) -> bytes:
    """A parquet file of rows, compressed by zstd; equal rows give equal bytes of one release."""
    schema = pa.schema([(name, _type(kind)) for name, kind in columns.items()])
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data


def decoded(data: bytes, name: str, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """The rows of a parquet file.

    Args:
        data: its bytes.
        name: for the message.
        columns: those to read; None for all.

    Raises:
        IntegrityError: `state_damaged`, it is no such file.
    """
    try:
        table = parquet.read_table(pa.BufferReader(data), columns=columns)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise IntegrityError(
            "state_damaged", f"{name} cannot be read: {error}", "move it away; it is made again"
        ) from error
    if columns is not None and set(columns) - set(table.column_names):
        raise IntegrityError(
            "state_damaged", f"{name} is no table of an archive", "use an empty target"
        )
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def names(path: Path, column: str) -> Iterator[str]:
    """The texts of a column of a parquet file, a batch at a time.

    Raises:
        InputError: `option_invalid`, it has no such column.
        IntegrityError: `state_damaged`, it is no parquet file.
    """
    try:
        file = parquet.ParquetFile(path)
        known = file.schema_arrow.names
        if column not in known:
            raise no_column(path, column, known)
        for batch in file.iter_batches(columns=[column]):
            yield from (str(value) for value in batch.column(0).to_pylist() if value)
    except (pa.ArrowException, OSError) as error:
        raise IntegrityError(
            "state_damaged", f"{path} cannot be read: {error}", "write the list again"
        ) from error


def _type(kind: Any) -> pa.DataType:
    if isinstance(kind, str):
        return _SIMPLE[kind]
    if isinstance(kind, list):
        return pa.list_(_type(kind[0]))
    return pa.struct([(name, _type(each)) for name, each in kind.items()])
