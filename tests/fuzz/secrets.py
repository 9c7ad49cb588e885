"""Redaction: no secret gets into a journal's bytes in any of the ways in which people write secrets down.

A secret, made of the fuzzer's bytes, is put into a form (an assignment, a URL, an option ...) among lines that hold
none. Afterwards no piece of it may be left, and every harmless line must be as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson

from runtide import redact
from runtide.events import encode_event
from runtide.mapping import Config
from tests.fuzz.draw import Draw

PIECE_CHARS = 5  # of a secret: as much must not be left
_WORD = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ0123456789"
_BARE = _WORD + "+/_.~!#%^*$@?-"
_TEXT = _BARE + " ,;&|<>(){}[]=:\\"
_NAMES = (
    "HF_TOKEN", "WANDB_API_KEY", "api_key", "apiKey", "db_password", "db.password", "client-secret", "authToken",
    "PGPASSWORD", "passphrase", "aws_secret_access_key", "X_ACCESS_TOKEN", "private_key", "credentials", "MYSECRET",
)  # fmt: skip
_PREFIXES = ("", "my_", "prod.", "a" * 100 + "_", "ü_")
# (form, characters of the secret). {n} is the name, {s} the secret.
CODE: tuple[tuple[str, str], ...] = (
    ("{n}={s}", _BARE + "(){}[]<>|;&,"),
    ("export {n}={s}", _BARE + "(){}[]<>|;&,"),
    ("python train.py --lr 0.1 --{n}={s} --seed 3", _BARE),
    ("python train.py --{n} {s} --seed 3", _BARE),
    ("java -D{n}={s} Main", _BARE),
    ("{n}: {s}", _BARE),
    ('{n} = "{s}"', _TEXT + "'"),
    ("{n} = '{s}'", _TEXT + '"'),
    ("{n} = b'{s}'  # bytes", _TEXT),
    ('{n} = rf"{s}"', _TEXT),
    ('{n}: str = "{s}"', _TEXT),
    ('{n}: Optional[str] = "{s}"', _TEXT),
    ('{n}: str | None = "{s}",', _TEXT),
    ('"{n}": "{s}",', _TEXT),
    ('{{"lr": 0.1, "{n}" : "{s}", "a": 1}}', _TEXT),
    ('os.environ["{n}"] = "{s}"', _TEXT),
    ('login(1, {n}="{s}", seed=3)', _TEXT),
    ('{n} := "{s}"', _TEXT),
    ('if {n} == "{s}":', _TEXT),
    ('{n} = """{s}"""', _TEXT + "\n"),
    ("{n} ?= {s}", _BARE),
    ("{n} => '{s}'", _TEXT),
    ('os.environ.setdefault("HF_TOKEN", "{s}")', _TEXT),
    ("Authorization: Basic {s}", _WORD),
    ("Cookie: a=1; session={s}; b=2", _BARE),
    ("curl -H 'authorization: bearer {s}{s}' https://host/", _WORD),
    ("-----BEGIN RSA PRIVATE KEY-----\n{s}\n-----END RSA PRIVATE KEY-----", _WORD + "+/=\n"),
)
ANYWHERE: tuple[tuple[str, str], ...] = (
    ("https://user:{s}@host/path", _BARE.replace("#", "").replace("?", "")),
    ("https://{s}@host/path", _WORD),
    ("postgresql+psycopg://user:{s}@db:5432/x", _BARE + ",;&()[]"),
    ("git clone https://oauth2:{s}@host/a.git", _WORD),
    ("https://host/x?a=1&access_token={s}&b=2", _WORD + "+/_.~%-"),
    ("https://host/x#api_key={s}", _WORD + "+/_.~%-"),
    ("host/x?sig={s}", _WORD + "+/_.~%-"),
    ("host=h user=u password={s} dbname=d", _BARE),
    ("Server=h;Password={s};Port=1", _BARE),
    ("Bearer {s}{s}", _WORD + "_.~-"),
    ("AccountName=x;AccountKey={s};EndpointSuffix=y", _BARE),
    ("my ghp_{s}{s}{s}{s} here", _WORD),
    ("x_hf_{s}{s}{s}{s}", _WORD),
    ("sk-{s}{s}{s}{s}", _WORD + "-_"),
    ("xoxb-{s}{s}", _WORD),
    ("sk_live_{s}{s}{s}{s}", _WORD),
)
HARMLESS = (
    "max_tokens=4096", "tokenizer: gpt2", "loss: 0.5, lr: 1e-3", "-    lr = 0.1", "+    lr = 0.01", "monkey = banana",
    "for name, value in items():", "Basic understanding of convolutions", "https://host:8080/a@b", "key=None, seed=42",
    "@@ -1,3 +1,4 @@ def train(tokenizer, keypoints):", "git@github.com:team/repo.git", "dataset=s3://bucket/path", "",
    "tokens_per_s: 1e6", "token = None", "num_heads=8 keyboard=us author=me", "diff --git a/train.py b/train.py",
)  # fmt: skip

SEEDS = [
    bytes((channel, form, name, 0, 3)) + b"\x0f\x12\x0c3vQz9LkPw7mXxYr" + b"\3\4\5\1\2"
    for channel in range(5)
    for form, name in zip(range(len(CODE)), [*range(len(_NAMES))] * 2, strict=False)
]


def check(data: bytes) -> None:
    draw = Draw(data)
    (_code, _anywhere, _arguments, _config, _names)[draw.below(5)](draw)


def _code(draw: Draw) -> None:
    _in_lines(draw, CODE + ANYWHERE, lambda text: redact.text(text, assignments=True))


def _anywhere(draw: Draw) -> None:
    _in_lines(draw, ANYWHERE, redact.text)


def _in_lines(draw: Draw, forms: tuple[tuple[str, str], ...], clean: Callable[[str], str]) -> None:
    form, alphabet = draw.pick(forms)
    name = draw.pick(_PREFIXES[: 1 if "-D" in form else None]) + draw.pick(_NAMES)
    indent = draw.pick(["", "    ", "+", "+    ", "-\t"])
    secret = _secret(draw, alphabet)
    before = [draw.pick(HARMLESS) for _ in range(draw.below(4))]
    after = [draw.pick(HARMLESS) for _ in range(draw.below(4))]
    text = "\n".join((*before, indent + form.format(n=name, s=secret), *after))
    cleaned = clean(text)
    _is_gone(secret, cleaned, indent + form.format(n=name, s="") + "".join(HARMLESS))
    lines = cleaned.split("\n")
    assert lines[: len(before)] == before
    assert not after or lines[-len(after) :] == after
    assert clean(cleaned) == cleaned or _is_odd(form)
    harmless = "\n".join((*before, *after))
    assert clean(harmless) == harmless


def _is_odd(form: str) -> bool:
    """What is left of these reads as something else, that is cleaned once more."""
    return form.startswith(("Cookie", "curl", "Authorization", "-----"))


def _arguments(draw: Draw) -> None:
    name, style = draw.pick(_NAMES), draw.below(7)
    secret = _secret(draw, _BARE if style in (0, 3) else _TEXT + "'\"" if style < 5 else _WORD)
    given = [
        [f"--{name}", secret], [f"--{name}={secret}"], [f"{name}={secret}"], [f"-{name}", secret],
        [f"+{name}={secret}"], [f"https://u:{secret}@h/x"], [f"--url=https://{secret}@h/x"],
    ][style]  # fmt: skip
    others = ["train.py", "--lr", "0.1", "--tokenizer", "gpt2", "-v", "data=imagenet"]
    split = draw.below(len(others)) if style != 3 else 2
    argv = [*others[:split], *given, "--end", *others[split:]]
    cleaned = redact.arguments(argv)
    _is_gone(secret, "\0".join(cleaned), "\0".join(others) + f"--{name}={name}https://u:")
    assert [argument for argument in cleaned if argument in others] == others


def _config(draw: Draw) -> None:
    """A secret anywhere in a nested config; what is beside it comes through."""
    form, alphabet = draw.pick(ANYWHERE)
    by_name = draw.flag()
    secret = _secret(draw, _TEXT + "'\"" if by_name else alphabet)
    name = draw.pick(_NAMES)
    value: Any = secret if by_name else form.format(n=name, s=secret)
    for _ in range(draw.below(6)):
        value = draw.pick([[1, value], {"inner": value, "lr": 0.1}, (value, "x"), {"list": [value]}])
    beside = {"lr": 0.1, "max_tokens": 4096, "tokenizer": "gpt2", "note": draw.pick(HARMLESS), "layers": [64, 32]}
    written = _written({**beside, name if by_name else "where": value})
    _is_gone(secret, written.decode(), form.format(n=name, s="") + str(beside))
    told = orjson.loads(written.splitlines()[0])["d"]
    assert {key: told[key] for key in beside} == beside


def _names(draw: Draw) -> None:
    """A secret in the name of a config value, or of something inside one."""
    form, alphabet = draw.pick(ANYWHERE)
    secret = _secret(draw, alphabet.replace("/", "").replace('"', ""))
    name = form.format(n="x", s=secret)
    _is_gone(secret, _written(draw.pick([{name: 1}, {"a": [{name: 1}]}, {"a": {name: {"b": 2}}}])).decode(), form)


def _written(values: dict[str, Any]) -> bytes:
    """The journal's lines of a config, and of deleting it all."""
    lines: list[bytes] = []
    config = Config(lambda changes: lines.append(encode_event(1, "config", changes)))
    config.update(values)
    lines.append(encode_event(1, "config", config.as_event()))
    for name in list(config):
        del config[name]
    return b"".join(lines)


def _secret(draw: Draw, alphabet: str) -> str:
    """6 to 40 characters, no number, no dash in front, nothing that ends it."""
    chars = "".join(alphabet[byte % len(alphabet)] for byte in draw.some(40)).strip().lstrip("-")
    ending = "x" if alphabet[-1] not in _WORD else ""
    return f"z{chars.rstrip(chr(92))}Q7vK{ending}"


def _is_gone(secret: str, cleaned: str, elsewhere: str) -> None:
    for piece in _pieces(secret):
        assert piece not in cleaned or piece in elsewhere, f"{piece!r} of {secret!r} is left: {cleaned!r}"


def _pieces(secret: str) -> Iterator[str]:
    for start in range(len(secret) - PIECE_CHARS + 1):
        yield secret[start : start + PIECE_CHARS]
