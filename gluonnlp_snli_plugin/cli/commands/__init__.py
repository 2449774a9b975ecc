"""The subcommands, a module each: ``add_arguments`` for its parser, ``run`` for what it does.

Modules import the packages that compute inside of functions, so that parsers are quick.
"""
