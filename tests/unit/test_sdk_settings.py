"""Where settings come from, and what is said of bad ones."""

import json
import ssl
from pathlib import Path
from typing import Any

import pytest

from runtide.errors import SettingsError
from runtide.settings import Settings, home_directory, kafka_client_options, load, stack


def test_argument_before_environment_before_stack_before_default(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text(json.dumps({"kafka": "stack:1", "dashboard": "http://stack", "pid": 1}))
    env = {"RUNTIDE_HOME": str(tmp_path), "RUNTIDE_PROJECT": "of-env", "RUNTIDE_TAGS": "a, b,,c"}
    settings = load(env=env)
    assert (settings.project, settings.kafka, settings.mode) == ("of-env", "stack:1", "online")
    assert settings.tags == ("a", "b", "c")
    assert (settings.dir, settings.dashboard) == (str(tmp_path / "journal"), "http://stack")
    assert load(env=env, project="of-call").project == "of-call"
    assert load({"project": "of-settings"}, env).project == "of-settings"
    assert load(Settings(project="of-object"), env).project == "of-object"
    assert load({"project": "of-settings"}, env, project="of-call").project == "of-call"
    assert load(env={**env, "RUNTIDE_KAFKA": "env:1"}).kafka == "env:1"
    assert load({"kafka": "given:1"}, {**env, "RUNTIDE_KAFKA": "env:1"}).kafka == "given:1"
    assert load(env={"RUNTIDE_HOME": str(tmp_path / "none")}).kafka == "127.0.0.1:17700"


def test_values_of_all_types_come_from_the_environment() -> None:
    env = {
        "RUNTIDE_QUIET": "yes", "RUNTIDE_CAPTURE_GIT": "0", "RUNTIDE_SYSTEM_INTERVAL_S": "2.5",
        "RUNTIDE_MAX_JOURNAL_BYTES": "1000", "RUNTIDE_RUN_ID": "r", "RUNTIDE_MODE": "offline", "RUNTIDE_DIR": "~/x",
    }  # fmt: skip
    settings = load(env=env)
    assert (settings.quiet, settings.capture_git, settings.system_interval_s) == (True, False, 2.5)
    assert (settings.max_journal_bytes, settings.run_id, settings.mode) == (1000, "r", "offline")
    assert settings.dir == str(Path("~/x").expanduser())


@pytest.mark.parametrize(
    ("given", "env", "words"),
    [
        ({"mode": "on"}, {}, ["mode", "'on'", "online, offline, disabled"]),
        ({}, {"RUNTIDE_MODE": "on"}, ["RUNTIDE_MODE", "'on'", "online, offline, disabled"]),
        ({"project": 5}, {}, ["project", "5", "a string", "int"]),
        ({"segment_bytes": "1"}, {}, ["segment_bytes", "'1'", "an integer", "str"]),
        ({"segment_bytes": True}, {}, ["segment_bytes", "an integer", "bool"]),
        ({}, {"RUNTIDE_SEGMENT_BYTES": "many"}, ["RUNTIDE_SEGMENT_BYTES", "'many'", "an integer"]),
        ({}, {"RUNTIDE_SYSTEM_INTERVAL_S": "-1"}, ["RUNTIDE_SYSTEM_INTERVAL_S", "-1", "0 or more"]),
        ({}, {"RUNTIDE_SYSTEM_INTERVAL_S": "nan"}, ["RUNTIDE_SYSTEM_INTERVAL_S", "nan"]),
        ({}, {"RUNTIDE_QUIET": "perhaps"}, ["RUNTIDE_QUIET", "'perhaps'", "true or false"]),
        ({"tags": 3}, {}, ["tags", "3", "list"]),
        ({"shipper": "pigeon"}, {}, ["shipper", "'pigeon'", "process, thread, external"]),
        ({"speed": 1}, {}, ["'speed'"]),
    ],
)
def test_errors_name_key_value_and_type(given: dict[str, Any], env: dict[str, str], words: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load(given, env)
    assert all(word in str(caught.value) for word in words), caught.value
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("content", ["", "{", "[]", '"x"', '{"kafka": 5}', "\x00"])
def test_a_broken_stack_file_is_no_stack(tmp_path: Path, content: str) -> None:
    (tmp_path / "stack.json").write_text(content)
    assert load(env={"RUNTIDE_HOME": str(tmp_path)}).kafka == "127.0.0.1:17700"
    assert isinstance(stack(str(tmp_path)), dict)


def test_home() -> None:
    assert home_directory({"RUNTIDE_HOME": "/x/../y"}) == "/y"
    assert home_directory({}) == str(Path("~/.runtide").expanduser())


def test_kafka_in_clear_needs_no_options() -> None:
    assert kafka_client_options({}) == {}
    assert kafka_client_options({"RUNTIDE_KAFKA": "a:1"}) == {}


def test_a_password_goes_encrypted_unless_said_otherwise() -> None:
    login = {"RUNTIDE_KAFKA_SASL_USERNAME": "u", "RUNTIDE_KAFKA_SASL_PASSWORD": "p"}
    options = kafka_client_options(login)
    assert options.pop("ssl_context").verify_mode == ssl.CERT_REQUIRED
    assert options == {
        "security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_plain_username": "u",
        "sasl_plain_password": "p",
    }  # fmt: skip
    said = {
        **login,
        "RUNTIDE_KAFKA_SECURITY_PROTOCOL": "sasl_plaintext",
        "RUNTIDE_KAFKA_SASL_MECHANISM": "scram-sha-512",
    }
    options = kafka_client_options(said)
    assert (options["security_protocol"], options["sasl_mechanism"]) == ("SASL_PLAINTEXT", "SCRAM-SHA-512")
    assert "ssl_context" not in options


def test_aiokafka_knows_the_options() -> None:
    import inspect

    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    options = kafka_client_options({"RUNTIDE_KAFKA_SASL_USERNAME": "u", "RUNTIDE_KAFKA_SASL_PASSWORD": "p"})
    for client in (AIOKafkaProducer, AIOKafkaConsumer):
        assert set(options) <= set(inspect.signature(client.__init__).parameters)


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"SECURITY_PROTOCOL": "TLS"}, ["RUNTIDE_KAFKA_SECURITY_PROTOCOL", "'TLS'", "SASL_SSL"]),
        ({"SECURITY_PROTOCOL": "SASL_SSL"}, ["SASL_USERNAME"]),
        ({"SASL_USERNAME": "u"}, ["SASL_PASSWORD"]),
        ({"SASL_USERNAME": "u", "SASL_PASSWORD": "p", "SASL_MECHANISM": "MD5"}, ["SASL_MECHANISM", "'MD5'"]),
        ({"SECURITY_PROTOCOL": "SSL", "SSL_CAFILE": "/none"}, ["RUNTIDE_KAFKA_SSL_CAFILE"]),
        ({"SECURITY_PROTOCOL": "SSL", "SSL_CHECK_HOSTNAME": "so"}, ["RUNTIDE_KAFKA_SSL_CHECK_HOSTNAME", "'so'"]),
    ],
)
def test_kafka_options_that_can_not_be_used(env: dict[str, str], words: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        kafka_client_options({f"RUNTIDE_KAFKA_{name}": value for name, value in env.items()})
    assert all(word in str(caught.value) for word in words), caught.value
