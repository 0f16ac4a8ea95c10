"""Values and metrics ↔ bytes: how they travel and how they are stored."""

from memento.payload.checking import encode_readable
from memento.payload.encoding import (
    JSON,
    NOTHING,
    PICKLE,
    PICKLE_AND_BUFFERS,
    Encoded,
    decode,
    decode_plain,
    digest_of,
    encode,
    summary_of,
)
from memento.payload.plain import entries_of, plain_part
from memento.payload.points import Points, add_records, pack_metrics, records_in, unpack_metrics

__all__ = [
    "JSON",
    "NOTHING",
    "PICKLE",
    "PICKLE_AND_BUFFERS",
    "Encoded",
    "Points",
    "add_records",
    "decode",
    "decode_plain",
    "digest_of",
    "encode",
    "encode_readable",
    "entries_of",
    "pack_metrics",
    "plain_part",
    "records_in",
    "summary_of",
    "unpack_metrics",
]
