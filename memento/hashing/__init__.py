"""Values and functions → digests, names and keys, the same in every process and on every Python for ever."""

from memento.hashing.keys import (
    DIGEST_BYTES,
    SCHEME,
    KeyMaker,
    Named,
    config_key,
    digest,
    digest_each,
    readable,
    register_key,
)

__all__ = [
    "DIGEST_BYTES",
    "SCHEME",
    "KeyMaker",
    "Named",
    "config_key",
    "digest",
    "digest_each",
    "readable",
    "register_key",
]
