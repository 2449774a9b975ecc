"""The subcommands, a module each: ``add_arguments`` for its parser, ``run`` for what it does.

Where options can contradict each other there is ``check``, which raises a UsageError. Parsers and checks are quick:
modules import the packages that compute in ``run`` alone.
"""
