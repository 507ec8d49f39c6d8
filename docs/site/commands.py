"""The command `qualitrace` with its commands loaded, for mkdocs-click."""

import importlib

import click

from qualitrace.cli import COMMANDS, main

qualitrace = click.Group("qualitrace", commands=dict(main.commands), params=main.params, help=main.help)
for _name, (_target, _) in COMMANDS.items():
    _module, _, _attribute = _target.partition(":")
    qualitrace.add_command(getattr(importlib.import_module(_module), _attribute), _name)
