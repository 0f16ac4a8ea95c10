"""Trackers: what a run computed, told to a tracking server as well.

    orchestrator ──▶ TrackingListener ──▶ journal (a file in the store) ◀── courier (a process of its own) ──▶ server
                                          store's ledger ───────────────────▲

The ledger already holds everything that is to be told, so the journal only says whom to tell and what was told. The
courier reads both; `sync` starts one for what an earlier courier could not deliver.
"""
