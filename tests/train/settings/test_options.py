"""An editor, a type checker and ``help()`` know the options of ``finetune`` and ``pretrain``."""

import dataclasses
import inspect
import typing

import pytest

from gluonnlp_snli_plugin import finetune, pretrain
from gluonnlp_snli_plugin.train.settings.finetune_config import FinetuneConfig
from gluonnlp_snli_plugin.train.settings.options import FinetuneOptions, PretrainOptions
from gluonnlp_snli_plugin.train.settings.pretrain_config import PretrainConfig

KINDS = [(finetune, FinetuneConfig, FinetuneOptions), (pretrain, PretrainConfig, PretrainOptions)]


@pytest.mark.parametrize("function, config, options", KINDS)
def test_the_typed_options_are_the_settings(function, config, options):
    assert typing.get_type_hints(options) == typing.get_type_hints(
        dataclasses.make_dataclass("Fields", [(field.name, field.type) for field in dataclasses.fields(config)])
    )


@pytest.mark.parametrize("function, config, options", KINDS)
def test_the_signature_shows_names_and_defaults(function, config, options):
    parameters = inspect.signature(function).parameters
    assert list(parameters)[:3] == ["comm", "resume", "resume_anyway"]
    assert {name: parameter.default for name, parameter in list(parameters.items())[3:]} == {
        field.name: field.default for field in dataclasses.fields(config)
    }
