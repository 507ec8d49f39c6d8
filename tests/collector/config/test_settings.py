"""The collector reads its own sections of the file, and leaves those of the monitors to them."""

import pytest

from qualitrace_collector.config import ConfigError, parse_config
from qualitrace_collector.receive.settings import ReceiveConfig
from qualitrace_collector.settings import CollectorConfig

OF_THE_MONITORS = {"judges": [{"name": "tone", "rate": 0.5, "model": "openai:/m"}, "safety"], "notify": {"ops": {}}}


def test_of_a_judge_the_collector_reads_the_name_and_the_rate():
    """A bare name is at the rate of all; sections of the monitors are not checked."""
    config = parse_config(OF_THE_MONITORS, CollectorConfig)
    assert [(judge.name, config.sampling.rate_of(judge)) for judge in config.judges] == [("tone", 0.5), ("safety", 0.1)]


def test_an_unknown_section_is_a_mistake_though_those_of_the_monitors_are_none():
    """With the nearest name as a hint."""
    with pytest.raises(ConfigError, match="unknown key 'notfy', did you mean 'notify'"):
        parse_config({"notfy": {}}, CollectorConfig)


def test_the_doors_read_their_own_sections_alone():
    """Whatever stands in the others was checked by the process that starts them."""
    config = parse_config({**OF_THE_MONITORS, "otlp": {"max_connections": 7}}, ReceiveConfig)
    assert config.otlp.max_connections == 7


def test_mistakes_in_one_field_and_between_fields_are_reported_together():
    """Also those that pydantic reports in a type of its own."""
    raw = {"listen": {"otlp_http": "0.0.0.0:4318", "max_request_size": "lots"}}
    with pytest.raises(ConfigError) as caught:
        parse_config(raw, CollectorConfig)
    assert [mistake.split(":")[0] for mistake in caught.value.mistakes] == [
        "listen.otlp_http",
        "listen.max_request_size",
    ]
