"""The rules of recq.toml: what is taken, and that each mistake is one line with its place and without a secret."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from recq.config_file import ConfigFile
from recq.errors import UsageError
from recq.watch.rules import MOST_RULES, Rule, RuleKind, rules_of

GOOD = """
catalog = "shop"

[[rule]]
name = "logo"
like = ["logo.png"]
min_score = 0.8
filters = ["price<=50"]
post = "https://WHO@shop.example:8080/hook?key=PASSWORD"

[[rule]]
name = "new"
novelty = true
catalog = "others"
run = ["notify-send", "PASSWORD"]
timeout = 5
""".replace("WHO", "user:PASSWORD")


def read(text: str) -> list[Rule]:
    config = ConfigFile(Path("recq.toml"), tomllib.loads(text), text)
    return rules_of(config.values.get("rule", ()), "shop", config)


def test_rules_are_read_with_their_defaults() -> None:
    logo, new = read(GOOD)
    assert (logo.kind, logo.catalog, logo.like, logo.min_score) == (RuleKind.LIKE, "shop", ("logo.png",), 0.8)
    assert (new.kind, new.catalog, new.min_score, new.timeout) == (RuleKind.NOVELTY, "others", None, 5)
    assert logo.action == "post to https://shop.example"
    assert new.action == "run notify-send"


RUN = 'run = ["true"]'


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (f"copy = true\n{RUN}", "rule 1: name is missing"),
        (f'name = "a b"\ncopy = true\n{RUN}', "rule 'a b': name: "),
        (f'name = "a"\n{RUN}', "one of like = [...], novelty = true and copy = true is needed"),
        (f'name = "a"\ncopy = true\nnovelty = true\n{RUN}', "one of like"),
        ('name = "a"\ncopy = true', "one of run = [...] and post"),
        (f'name = "a"\ncopy = true\npost = "https://x"\n{RUN}', "one of run"),
        ('name = "a"\ncopy = true\npost = "ftp://PASSWORD"', "post needs an address"),
        ('name = "a"\ncopy = true\npost = "https://x:PASSWORD/"', "post needs an address"),
        ('name = "a"\ncopy = true\npost = ["PASSWORD"]', "post: "),
        ('name = "a"\ncopy = true\nrun = "PASSWORD"', "run: "),
        ('name = "a"\ncopy = true\nrun = [""]', "run needs a program"),
        (f'name = "a"\ncopy = true\n{RUN}\ntimeout = 0', "timeout: "),
        (f'name = "a"\ncopy = true\n{RUN}\nmin_score = 0.5', "leave min_score out"),
        (f'name = "a"\nlike = []\n{RUN}', "like: "),
        (f'name = "a"\nnovelty = true\n{RUN}\nmin_score = "much"', "min_score: "),
        (f'name = "a"\ncopy = true\n{RUN}\nfilters = ["price"]', "filter 'price'"),
        (f'name = "a"\ncopy = true\n{RUN}\ntarget = "PASSWORD"', "there is no key 'target'"),
        (f'name = "a"\ncopy = true\n{RUN}\ncatalog = "/"', "catalog: "),
    ],
)
def test_a_mistake_is_one_line_with_its_place(table: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(f"{GOOD}\n[[rule]]\n{table}\n")
    text = str(caught.value)
    assert text.startswith("recq.toml, line 18, rule "), text
    assert told.replace("rule 1:", "rule 3:") in text
    assert "\n" not in text
    assert "PASSWORD" not in text


def test_names_tell_rules_apart() -> None:
    with pytest.raises(UsageError, match="two rules have the name 'new'"):
        read(GOOD.replace('"logo"', '"new"'))


def test_rules_are_not_endless() -> None:
    one = '[[rule]]\nname = "r{}"\ncopy = true\nrun = ["true"]\n'
    with pytest.raises(UsageError, match="too many"):
        read("".join(one.format(number) for number in range(MOST_RULES + 1)))
