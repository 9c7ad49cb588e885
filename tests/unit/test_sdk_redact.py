"""Secrets are taken out, and what only looks a little like one is left alone."""

import pytest

from runtide import redact


@pytest.mark.parametrize(
    "name",
    [
        "HF_TOKEN",
        "MYTOKEN",
        "WANDB_API_KEY",
        "OPENAIKEY",
        "AWS_SECRET_ACCESS_KEY",
        "DB_PASSWORD",
        "PGPASSWORD",
        "api_key",
        "apiKey",
        "wandbKey",
        "token",
        "access_token",
        "authToken",
        "github.token",
        "db_password",
        "userPasswd",
        "passphrase",
        "client_secret",
        "credentials",
        "key",
        "openai/key",
        "Authorization",
        "session_cookie",
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert redact.is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "lr",
        "tokenizer",
        "tokenize",
        "tokenizer_path",
        "max_tokens",
        "num_tokens",
        "tokens",
        "tokens_per_s",
        "keyboard",
        "keypoints",
        "keyframe",
        "monkey",
        "hockey",
        "keyword",
        "author",
        "optimizer",
        "PATH",
        "CUDA_VISIBLE_DEVICES",
        "dataset",
        "model/depth",
        "compass",
    ],
)
def test_names_of_no_secrets(name: str) -> None:
    assert not redact.is_secret_name(name)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("https://user:pw@host/path", "https://***@host/path"),
        ("https://ghp_abc@github.com/a/b.git", "https://***@github.com/a/b.git"),
        ("postgresql+psycopg://u:p%40w@db:5432/x", "postgresql+psycopg://***@db:5432/x"),
        ("https://host/x?a=1&access_token=abc&b=2", "https://host/x?a=1&access_token=***&b=2"),
        ("git@github.com:team/repo.git", "git@github.com:team/repo.git"),
        ("https://host/a@b", "https://host/a@b"),
        ("my ghp_0123456789abcdefghijKLMNOPQRST here", "my *** here"),
        ("AKIAIOSFODNN7EXAMPLE", "***"),
        ("Authorization: Bearer abcdefghijklmnop", "Authorization: Bearer ***"),
        ("a -----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY----- b",
         "a *** b"),
        ("-----BEGIN PRIVATE KEY-----\ncut off", "***"),
        ("loss: 0.5, token: learned", "loss: 0.5, token: learned"),
    ],
)  # fmt: skip
def test_texts(text: str, clean: str) -> None:
    assert redact.text(text) == clean
    assert redact.text(clean) == clean


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("+export HF_TOKEN=abc123", "+export HF_TOKEN=***"),
        ('+    api_key="sk"', '+    api_key="***"'),
        ("'password': 'hunter2',", "'password': '***',"),
        ("password: hunter2", "password: ***"),
        ("max_tokens=4096", "max_tokens=4096"),
        ("key=None, token: str = default", "key=None, token: str = default"),
        ("seed=42", "seed=42"),
    ],
)
def test_assignments(text: str, clean: str) -> None:
    assert redact.text(text, assignments=True) == clean


def test_command_lines() -> None:
    argv = ["train.py", "--api-key", "X", "--lr", "0.1", "--token=zz", "WANDB_KEY=y", "--tokenizer", "gpt2",
            "--password", "--verbose", "https://u:p@h/"]  # fmt: skip
    assert redact.arguments(argv) == [
        "train.py", "--api-key", "***", "--lr", "0.1", "--token=***", "WANDB_KEY=***", "--tokenizer", "gpt2",
        "--password", "--verbose", "https://***@h/",
    ]  # fmt: skip


def test_values_by_name() -> None:
    assert redact.value_of("api_key", "x") == "***"
    assert redact.value_of("api_key", "") == ""
    assert redact.value_of("max_token", 4096) == 4096
    assert redact.value_of("passwords", ["a", "b"]) == ["***", "***"]
    assert redact.value_of("db", {"password": "x", "host": "h"}) == {"password": "***", "host": "h"}
    assert redact.value_of("url", "redis://:pw@h/0") == "redis://***@h/0"


@pytest.mark.parametrize(
    "bait", ["a.", "a.://", "a='", "x://", "eyJaaaaaaaaaaaaa.", "key=", "-----BEGIN PRIVATE KEY-----"]
)
def test_no_text_takes_long(bait: str) -> None:
    redact.text(bait * (200_000 // len(bait)), assignments=True)  # the test's own timeout is the limit
