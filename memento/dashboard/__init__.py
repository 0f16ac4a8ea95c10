"""A read-only page over a store, in a browser: what is stored, what goes on, tables, plots, and every detail of one.

rows, query, details, figures   what is shown, out of the store; no web in them
window                          the store seen again and again, without reading it anew each time
access                          who may look
toolkit                         the only module that imports Dash
pages, app, serving             the pages, and how they come to a browser
"""
