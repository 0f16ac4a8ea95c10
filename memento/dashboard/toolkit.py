"""Dash, AG Grid, and Flask below them: the only module that imports them."""

from __future__ import annotations

from memento.errors import MissingExtra

try:
    from dash import ALL, Dash, Input, Output, State, clientside_callback, dcc, html, no_update
    from dash_ag_grid import AgGrid
    from flask import abort, make_response, redirect, request, send_file
    from werkzeug.serving import BaseWSGIServer, make_server
except ImportError as error:
    raise MissingExtra("dash", "dashboard") from error

__all__ = [
    "ALL",
    "AgGrid",
    "BaseWSGIServer",
    "Dash",
    "Input",
    "Output",
    "State",
    "abort",
    "clientside_callback",
    "dcc",
    "html",
    "make_response",
    "make_server",
    "no_update",
    "redirect",
    "request",
    "send_file",
]
