"""What `recq watch` does: the rules in force, watched until a signal comes, with a line for all that happens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from recq.commands import command
from recq.config_file import read_config
from recq.errors import RecqError, UsageError
from recq.json_text import json_text
from recq.paths import printable
from recq.settings import Settings
from recq.signals import Signals
from recq.spelling import nearest, one_of
from recq.watch.rules import Rule, rules_of
from recq.watch.watching import Wanted as Wanted
from recq.watch.watching import Watch


def rules_in_force(settings: Settings, names: Sequence[str]) -> list[Rule]:
    """The rules of the settings, those with the given names or all. Raises UsageError where there is none."""
    config = read_config()
    rules = rules_of(settings.rule, settings.catalog, config)
    known = [rule.name for rule in rules]
    if not rules:
        raise UsageError(f"there is no rule to watch: write a table [[rule]] into {config.path} (docs/query.md)")
    for name in names:
        if name not in known:
            meant = nearest(name, known)
            hint = f"did you mean {meant[0]!r}?" if meant else f"there is: {one_of(known, 'and')}"
            raise UsageError(f"--rule {printable(name)!r} is no rule of {config.path}: {hint}")
    return [rule for rule in rules if not names or rule.name in names]


def watch_until_stopped(
    settings: Settings,
    names: Sequence[str],
    wanted: Wanted,
    *,
    as_json: bool,
    tell: Callable[[str], None],
    ready: Callable[[str], None],
) -> None:
    """Watch; `tell` is given each line of what happens, `ready` one when all rules are at work.

    Raises what is wrong with a rule, and RecqError where `once` leaves something that was not delivered.
    """
    rules = rules_in_force(settings, names)
    told = threading.Lock()

    def report(happened: str, rule: Rule, what: dict[str, Any]) -> None:
        document = {"event": happened, "rule": rule.name, **_of(happened, what)}
        text = json_text(document) if as_json else f"{_line(happened, rule, what)}\n"
        with told:
            tell(text)

    with Signals(0) as signals:
        signals.working(lambda: None)
        count = "1 rule" if len(rules) == 1 else f"{len(rules)} rules"
        left = Watch(settings, rules, wanted, report, signals.stop).run(lambda: ready(f"watching with {count}"))
    if left and wanted.once and not wanted.dry:
        many = "1 delivery has" if left == 1 else f"{left:,} deliveries have"
        raise RecqError(f"{many} not been taken: the next {command('recq', 'watch')} tries again")


def _of(happened: str, what: dict[str, Any]) -> dict[str, Any]:
    return {"match": what} if happened == "matched" else what


def _line(happened: str, rule: Rule, what: dict[str, Any]) -> str:
    match happened:
        case "matched":
            item = what["item"]
            place = printable(f"{item['source']}/{item['payload']['file']['path']}")
            score = "" if what["score"] is None else f" ({what['score']:.3f})"
            return f"{rule.name}: {place} matches{score}"
        case "delivered":
            return f"{rule.name}: delivered {what['delivery']} ({rule.action})"
        case "undelivered":
            return f"{rule.name}: not delivered {what['delivery']} ({rule.action}): {printable(what['detail'])}"
        case _:
            return f"{rule.name}: {printable(what['detail'])}"
