"""`plaudit collect`, `import` and `export`: feedback without training."""

from __future__ import annotations

from plaudit.api.console import optional
from plaudit.cli.arguments import Common, parse
from plaudit.feedback.formats.command import (
    EXPORT_HELP,
    IMPORT_HELP,
    ExportArguments,
    ImportArguments,
    run_export,
    run_import,
)

COLLECT_COMMON = Common(
    dict.fromkeys(
        (
            "store",
            "folder",
            "host",
            "port",
            "public_url",
            "endpoint",
            "endpoint_model",
            "admin_link",
            "backup",
            "restore",
        )
    )
)


def collect(arguments: list[str]) -> int:
    """`plaudit collect`."""
    command = optional("plaudit.server.command", "serve")
    default = command.CollectArguments()
    return int(
        command.collect(
            parse(command.CollectArguments, arguments, "collect", command.DESCRIPTION, default, COLLECT_COMMON)
        )
    )


def import_(arguments: list[str]) -> int:
    """`plaudit import FILE STORE`."""
    return run_import(parse(ImportArguments, arguments, "import", IMPORT_HELP))


def export_(arguments: list[str]) -> int:
    """`plaudit export STORE [FILE]`."""
    return run_export(parse(ExportArguments, arguments, "export", EXPORT_HELP))
