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
        ("https://user:p@ss/w@host/path", "https://***@host/path"),
        ("redis://:p/w@host/0", "redis://***@host/0"),
        ("host=h user=u password=x dbname=d", "host=h user=u password=*** dbname=d"),
        ("https://host/x#api_key=abc", "https://host/x#api_key=***"),
        ("Basic dTpw", "Basic ***"),  # u:p
        ("sk_live_0123456789abcdef", "***"),
        ("x_hf_0123456789abcdefghijKLMN", "x_***"),
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
        ("python x --api-key=S --seed 3", "python x --api-key=*** --seed 3"),
        ("python x --api-key S --seed 3", "python x --api-key *** --seed 3"),
        ("java -Dpassword=S Main", "java -Dpassword=*** Main"),
        ('os.environ["X_KEY"]="S"', 'os.environ["X_KEY"]="***"'),
        ("environ.setdefault('X_KEY', 'S')", "environ.setdefault('X_KEY', '***')"),
        ('password = b"S"', "password = ***"),
        ('password: str = "S"', 'password: str = "***"'),
        ('password: Optional[str] = "S"', 'password: Optional[str] = "***"'),
        ('password: str | None = "S",', 'password: str | None = "***",'),
        ('password := "S")', 'password := "***")'),
        ('if password == "S":', 'if password == "***":'),
        ('HF_TOKEN="S"T', 'HF_TOKEN="***"'),
        ('password = """a\n"S"\n""" + x', 'password = "***" + x'),
        ('+password = """a\n@@ -1 +1 @@\n+lr = 1', '+password = "***"\n@@ -1 +1 @@\n+lr = 1'),
        ('password = "a\\"S"', 'password = "***"'),
        ("HF_TOKEN=a;b,(c)", "HF_TOKEN=***"),
        ("passwords = ['S', 'T']", "passwords = [***]"),
        ('"credentials": {"user": "S"}', '"credentials": {***}'),
        ("Cookie: a=1; session=S; b=2", "Cookie: ***"),
        ('"Cookie": "a=1; session=S", "x": 1', '"Cookie": "***", "x": 1'),
        ("Authorization: Basic S", "Authorization: ***"),
        ("key: S", "key: ***"),
    ],
)
def test_assignments(text: str, clean: str) -> None:
    assert redact.text(text, assignments=True) == clean


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens=4096",
        "max_tokens: 512",
        "token_count = 5",
        'tokenizer="gpt2"',
        "seed=42",
        "lr=1e-3 weight_decay: 0.01",
        "monkey = banana",
        "sort by key=loss",
        "lambda key: f(key)",
        "key=None, token: str = default",
        "token: Optional[str] = None",
        "if token == other:",
        'if key == "lr" or batch.key != "lr":',
        'password = ""',
        'print(f"key={key}")',
        "for name, value in items():",
        "Basic understanding",
        "a basic ResNet50 baseline.",
        "uses Bearer authentication",
        "https://host:8080/a@b",
        "http://[::1]:8080/a@b",
        "sk-learn-classification-baseline",
        "@@ -1,3 +1,4 @@ def train(tokenizer, keypoints):",
    ],
)
def test_what_stays_visible(text: str) -> None:
    assert redact.text(text, assignments=True) == redact.text(text) == text


def test_command_lines() -> None:
    argv = ["train.py", "--api-key", "X", "--lr", "0.1", "--token=zz", "WANDB_KEY=y", "--tokenizer", "gpt2",
            "--password", "--verbose", "https://u:p@h/"]  # fmt: skip
    assert redact.arguments(argv) == [
        "train.py", "--api-key", "***", "--lr", "0.1", "--token=***", "WANDB_KEY=***", "--tokenizer", "gpt2",
        "--password", "--verbose", "https://***@h/",
    ]  # fmt: skip
    assert redact.arguments(["--token", "-0123456789abc", "--token", "--verbose-logging"]) == [
        "--token", "***", "--token", "--verbose-logging",
    ]  # fmt: skip


def test_values_by_name() -> None:
    assert redact.value_of("api_key", "x") == "***"
    assert redact.value_of("api_key", "") == ""
    assert redact.value_of("max_token", 4096) == 4096
    assert redact.value_of("passwords", ["a", "b"]) == ["***", "***"]
    assert redact.value_of("db", {"password": "x", "host": "h"}) == {"password": "***", "host": "h"}
    assert redact.value_of("db", {"passwords": [{"a": ["x"]}]}) == {"passwords": [{"a": ["***"]}]}
    assert redact.value_of("", {"https://u:p@h/": 1}) == {"https://***@h/": 1}
    assert redact.value_of("url", "redis://:pw@h/0") == "redis://***@h/0"


@pytest.mark.parametrize(
    "bait",
    ["a.", "a.://", "a='", "x://", "x://:a@", "eyJaaaaaaaaa.", "-eyJ", "sk-", "key=", "key='''", "key=[", "key: str | ",
     'password="\\', "--key ", "Basic abcd ", "Cookie: ", "?key", "\nkey=1", "'", "-----BEGIN PRIVATE KEY-----"],
)  # fmt: skip
def test_no_text_takes_long(bait: str) -> None:
    text = bait * (1_000_000 // len(bait))
    redact.text(text, assignments=True)  # the test's own timeout is the limit
    redact.arguments([text, f"--password={text}"])
