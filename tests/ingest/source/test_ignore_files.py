"""`.recqignore`: what git ignores with the same lines, and what a file that cannot be used takes away: nothing."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ingest.source import ignore_files
from ingest.source.ignore_files import (
    IGNORE_FILE,
    MAX_BYTES,
    MAX_RULES,
    IgnoreFile,
    IgnoreFiles,
    Ignoring,
    PatternError,
    Rule,
    decide,
    read_patterns,
)
from ingest.source.met import Met
from ingest.source.scan import Kind, Rules, Seen, look, walk
from recq.paths import shortened
from tests.ingest.documented import rows, section
from tests.ingest.pictures import put

GIT = shutil.which("git")


def ignored(lines: str | bytes, path: str, *, is_folder: bool = False) -> bool:
    """Whether the lines, in the root, ignore a path whose folders they do not ignore."""
    data = lines.encode("utf-8", "surrogateescape") if isinstance(lines, str) else lines
    found = decide([IgnoreFile("", *read_patterns(data, IGNORE_FILE))], path, is_folder=is_folder)
    return found is not None


def refused(lines: str | bytes) -> list[int | None]:
    """The lines that are not used."""
    data = lines.encode() if isinstance(lines, str) else lines
    return [problem.line for problem in read_patterns(data, IGNORE_FILE)[1]]


def kinds(rules: Rules, below: str = "") -> dict[str, str]:
    """What a walk finds, which every look confirms."""
    found = [each for each in walk(rules, below) if isinstance(each, Seen)]
    for each in found:
        if each.kind is not Kind.IGNORED or not (rules.root / each.path).is_dir():
            seen = look(each.path, rules)
            assert seen is not None
            assert seen.kind is each.kind, each.path
    return {each.path: str(each.kind) for each in found if not each.path.endswith(IGNORE_FILE)}


# -- one line ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "fits", "leaves"),
    [
        ("a.jpg", ["a.jpg", "x/a.jpg", "x/y/a.jpg"], ["aa.jpg", "A.jpg", "a.jpg.png"]),
        ("*.png", ["a.png", "x/.png"], ["a.PNG", "a.png/b"]),
        ("/a.jpg", ["a.jpg"], ["x/a.jpg"]),
        ("x/a.jpg", ["x/a.jpg"], ["y/x/a.jpg"]),
        ("**/x/a.jpg", ["x/a.jpg", "y/x/a.jpg"], ["a.jpg"]),
        ("x/**/a.jpg", ["x/a.jpg", "x/y/z/a.jpg"], ["y/x/a.jpg"]),
        ("x/**", ["x/a", "x/y/a"], ["x", "y/x/a"]),
        ("x/*", ["x/a"], ["x/y/a"]),
        ("a?c", ["abc", "aéc"], ["ac", "a/c"]),
        ("[a-c]1", ["a1", "c1"], ["d1", "[a-c]1"]),
        ("[!a]1", ["b1"], ["a1"]),
        ("[^a]1", ["b1"], ["a1"]),
        (r"\#a", ["#a"], ["a"]),
        ("#a", [], ["#a", "a"]),
        (r"\!a", ["!a"], ["a"]),
        (r"a\*b", ["a*b"], ["axb"]),
        ("a  ", ["a"], ["a  "]),
        (r"a\ ", ["a "], ["a"]),
        (r"a\  ", ["a "], ["a", "a  "]),
        ("a\t", ["a\t"], ["a"]),
        (" a", [" a"], ["a"]),
        ("a\r", ["a"], ["a\r"]),
        ("!!a", [], ["a", "!a"]),
        ("a\u00a0", ["a\u00a0"], ["a"]),
        ("*a*b*c", ["abc", "xaybzc", "aabbcc"], ["acb", "abcd"]),
        ("x*/y*z", ["x1/yz", "x/yaz"], ["x/a/yz", "x/y/z"]),
        ("caf\udce9", ["caf\udce9"], ["café"]),  # bytes of Latin-1, as the name has them
        ("café", ["café"], ["cafe\u0301"]),  # names are bytes: NFC and NFD are two
        ("a\nb", ["a", "b"], ["a\nb"]),
        ("*", ["a\nb", "a"], []),
        ("new*", ["new\n", "new\nline"], ["old"]),
    ],
)  # fmt: skip
def test_a_line(line: str, fits: list[str], leaves: list[str]) -> None:
    for end in ("", "\n"):
        assert [path for path in fits if not ignored(line + end, path)] == []
        assert [path for path in leaves if ignored(line + end, path)] == []


def test_a_slash_at_the_end_means_folders() -> None:
    assert ignored("x/", "x", is_folder=True)
    assert ignored("x/", "y/x", is_folder=True)
    assert not ignored("x/", "x")
    assert ignored("/x/", "x", is_folder=True)
    assert not ignored("/x/", "y/x", is_folder=True)
    assert ignored("**/", "x", is_folder=True)
    assert not ignored("**/", "x")


def test_the_last_line_that_fits_decides() -> None:
    lines = "*.jpg\n!keep*.jpg\nkeep-not.jpg\n"
    assert [ignored(lines, name) for name in ("a.jpg", "keep1.jpg", "keep-not.jpg", "a.png")] == [
        True, False, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_a_byte_order_mark_belong_to_no_pattern(end: str, mark: bytes) -> None:
    data = mark + end.join(["# drafts", "a.jpg", "", "b ", "!c"]).encode()
    assert ignored(data, "a.jpg")
    assert ignored(data, "b")
    assert refused(data) == []


def examples() -> list[tuple[str, list[str], list[str]]]:
    """The table in docs/ingest.md: a line, what it ignores, what it leaves."""
    cells = {line.strip("`"): told for line, told in rows("Ignore files").items()}
    return [(line, *(re.findall(r"`([^`]*)`", each) for each in told)) for line, told in cells.items()]  # type: ignore[misc]


@pytest.mark.parametrize(("line", "fits", "leaves"), examples())
def test_the_examples_in_the_documentation(line: str, fits: list[str], leaves: list[str]) -> None:
    assert leaves
    for path in [*fits, *leaves]:
        name = path.removesuffix("/")
        assert ignored(line, name, is_folder=name != path) is (path in fits), path


def test_the_documented_file_is_read_whole() -> None:
    (text,) = re.findall(r"```text\n(.*?)```", section("Ignore files"), re.DOTALL)
    assert refused(text) == []
    assert [ignored(text, path) for path in ("a.gif", "b_thumb.jpg", "logo_thumb.png", "x/a.jpg")] == [
        True, True, False, False,
    ]  # fmt: skip
    for number in (MAX_BYTES, MAX_RULES):
        assert f"{number:,}" in section("Ignore files")


# -- what is not used --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("[a", "a bracket is not closed"),
        ("a\\", "it ends in a backslash"),
        ("/", "it names nothing"),
        ("!", "it names nothing"),
        ("a//", "it names nothing"),
        ("[z-a]", "bad character range z-a"),
        ("[[:digit:]]", "classes as [[:digit:]]"),
        (r"[\]]", "a backslash in brackets"),
        ("a" * 1001, "longer than 1,000 characters"),
        ("/".join(["**/a"] * 4), "'**' more than 3 times"),
    ],
)
def test_a_line_that_cannot_be_used_is_listed_and_the_others_hold(line: str, why: str) -> None:
    patterns, problems = read_patterns(f"*.png\n\n{line}\n*.gif\n".encode(), "x/.recqignore")
    (problem,) = problems
    assert (problem.path, problem.line) == ("x/.recqignore", 3)
    assert problem.detail.startswith(f"x/.recqignore:3: the rule {shortened(line, 200)!r} is not used: ")
    assert why in problem.detail
    file = IgnoreFile("x", patterns, problems)
    assert decide([file], "x/a.png", is_folder=False) == Ignoring(Rule("*.png", "x/.recqignore", 1))
    assert decide([file], "x/a.gif", is_folder=False) is not None
    assert decide([file], "x/a.jpg", is_folder=False) is None


def test_what_a_line_that_cannot_be_used_may_take_back_is_undecided() -> None:
    file = IgnoreFile("", *read_patterns(b"*.jpg\n![[:digit:]]*\n*.png\n", IGNORE_FILE))
    jpg, png = (decide([file], path, is_folder=False) for path in ("1.jpg", "1.png"))
    assert jpg is not None
    assert "'![[:digit:]]*'" in str(jpg.doubt)
    assert png == Ignoring(Rule("*.png", IGNORE_FILE, 3))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"a\n" * (MAX_RULES + 1), "more than 1,000 rules"),
        (b"#" * (MAX_BYTES + 1), "more than 100,000 bytes"),
        ("*.jpg\n".encode("utf-16"), "save it as UTF-8"),
    ],
)
def test_a_file_that_cannot_be_used(data: bytes, why: str) -> None:
    with pytest.raises(PatternError, match=why):
        read_patterns(data, IGNORE_FILE)


@pytest.mark.parametrize(
    "line", ["*a*a*a*a*a*a*a*a*a*a*b", "*[a]*[a]*[a]*[a]*[a]*[a]*[b]", "**/*a*a*a*a*a*a/**/*a*a*a*b"]
)
def test_no_pattern_takes_long(line: str) -> None:
    """Whoever may write into a folder may write a rule: the interpreter is held while it is compared."""
    began = time.perf_counter()
    assert not ignored(line, "/".join(["a" * 250] * 16))
    assert not ignored(line, "a" * 250)
    assert time.perf_counter() - began < 1.0


# -- folders -----------------------------------------------------------------------------------------------------------


def test_a_nearer_file_is_asked_first_and_nothing_comes_back_below_an_ignored_folder(tmp_path: Path) -> None:
    for number, name in enumerate(
        [
            "a.png",
            "a.jpg",
            "x/b.png",
            "x/y/c.png",
            "x/y/d.jpg",
            "out/e.jpg",
            "out/deep/f.jpg",
            "drafts/g.jpg",
            "x/drafts",
        ]
    ):
        put(tmp_path / name, number)
    (tmp_path / IGNORE_FILE).write_text("*.png\n/out/\ndrafts/\n")
    (tmp_path / "x" / IGNORE_FILE).write_text("!*.png\n")
    (tmp_path / "x/y" / IGNORE_FILE).write_text("/c.png\n")
    (tmp_path / "out" / IGNORE_FILE).write_text("!*\n")
    rules = Rules([".*"], tmp_path)
    assert kinds(rules) == {
        "a.png": "ignored", "a.jpg": "item", "x/b.png": "item", "x/y/c.png": "ignored", "x/y/d.jpg": "item",
        "out": "ignored", "drafts": "ignored", "x/drafts": "maybe",
    }  # fmt: skip
    assert kinds(rules, "x/y") == {"x/y/c.png": "ignored", "x/y/d.jpg": "item"}
    assert kinds(rules, "out/deep") == {}
    below = look("out/deep/f.jpg", rules)
    assert below is not None
    assert (below.kind, below.rule) == (Kind.IGNORED, Rule("/out/", IGNORE_FILE, 2))


def test_the_setting_comes_first_and_nothing_takes_it_back(tmp_path: Path) -> None:
    put(tmp_path / ".hidden.jpg", 1)
    put(tmp_path / "a.jpg", 2)
    (tmp_path / IGNORE_FILE).write_text("!.hidden.jpg\n")
    assert kinds(Rules([".*"], tmp_path)) == {".hidden.jpg": "ignored", "a.jpg": "item"}
    assert kinds(Rules([], tmp_path)) == {".hidden.jpg": "item", "a.jpg": "item"}


def test_links_are_no_folders(tmp_path: Path) -> None:
    put(tmp_path / "a.jpg", 1)
    (tmp_path / "b.jpg").symlink_to("a.jpg")
    (tmp_path / IGNORE_FILE).write_text("b.jpg/\n")
    assert kinds(Rules([], tmp_path)) == {"a.jpg": "item", "b.jpg": "item"}
    (tmp_path / IGNORE_FILE).write_text("b.jpg\n")
    assert kinds(Rules([], tmp_path)) == {"a.jpg": "item", "b.jpg": "ignored"}


def test_each_source_has_its_own(tmp_path: Path) -> None:
    for name in ("one", "two"):
        put(tmp_path / name / "a.jpg", 1)
    (tmp_path / "one" / IGNORE_FILE).write_text("a.jpg\n")
    assert kinds(Rules([".*"], tmp_path / "one")) == {"a.jpg": "ignored"}
    assert kinds(Rules([".*"], tmp_path / "two")) == {"a.jpg": "item"}


# -- files that change -------------------------------------------------------------------------------------------------


def test_a_look_knows_what_stands_there_now(tmp_path: Path) -> None:
    put(tmp_path / "x/a.jpg", 1)
    rules, file = Rules([".*"], tmp_path), tmp_path / "x" / IGNORE_FILE
    for text, kind in [
        (None, "item"),
        ("a.jpg\n", "ignored"),
        ("b.jpg\n", "item"),
        ("a.jpg\n", "ignored"),
        (None, "item"),
    ]:
        if text is None:
            file.unlink(missing_ok=True)
        else:
            before = file.stat() if file.exists() else None
            file.write_text(text)
            if before is not None:  # of the same length and time: told by its bytes while it is young
                os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert kinds(rules) == {"x/a.jpg": kind}


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / IGNORE_FILE).write_text("*.png\n")
    later = time.time_ns() + 60 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)  # the file is not young any more
    read: list[str] = []
    bytes_of = ignore_files._bytes

    def count(path: str, status: os.stat_result) -> bytes:
        read.append(path)
        return bytes_of(path, status)

    monkeypatch.setattr(ignore_files, "_bytes", count)
    files = IgnoreFiles(tmp_path, Met(tmp_path))
    assert {files.of("") for _ in range(5)} == {files.of("")}
    assert len(read) == 1


def test_many_threads_see_the_same(tmp_path: Path) -> None:
    put(tmp_path / "x/a.png", 1)
    (tmp_path / IGNORE_FILE).write_text("*.png\n")
    rules = Rules([".*"], tmp_path)
    wrong: list[Seen | None] = []

    def ask() -> None:
        for _ in range(200):
            seen = look("x/a.png", rules)
            if seen is None or seen.kind is not Kind.IGNORED:
                wrong.append(seen)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def spoil(file: Path, how: str) -> None:
    """Make a file one that cannot be used."""
    file.unlink(missing_ok=True)
    match how:
        case "link":
            (file.parent / "rules").write_text("*.gif\n")
            file.symlink_to("rules")
        case "folder":
            file.mkdir()
        case "pipe":
            os.mkfifo(file)
        case "too large":
            file.write_bytes(b"*.gif\n" * 2_000_000)
        case "UTF-16":
            file.write_bytes("*.gif\n".encode("utf-16"))


HOW = {
    "link": "is a link, and none is followed",
    "folder": "is a folder",
    "pipe": "is no regular file",
    "too large": "has more than 100,000 bytes",
    "UTF-16": "is no text in UTF-8",
}


@pytest.mark.parametrize("how", HOW)
def test_what_a_file_had_before_holds_when_it_cannot_be_used_any_more(tmp_path: Path, how: str) -> None:
    for number, name in enumerate(["a.png", "a.jpg", "a.gif"]):
        put(tmp_path / name, number)
    rules, file = Rules(["rules"], tmp_path), tmp_path / IGNORE_FILE
    file.write_text("*.png\n")
    expected = {"a.png": "ignored", "a.jpg": "item", "a.gif": "item"}
    assert kinds(rules).items() >= expected.items()
    spoil(file, how)
    for _ in range(2):
        assert kinds(rules).items() >= expected.items()
        (problem,) = rules.ignore_files.problems(IGNORE_FILE)
        assert problem.detail.startswith(f".recqignore {HOW[how]}")
        assert problem.detail.endswith("; its earlier rules hold")
    shutil.rmtree(file) if how == "folder" else file.unlink()
    file.write_text("*.png\n")
    assert kinds(rules).items() >= expected.items()
    assert rules.ignore_files.problems(IGNORE_FILE) == []


@pytest.mark.parametrize("how", HOW)
def test_a_file_of_which_nothing_is_known_leaves_undecided_what_it_may_take_back(tmp_path: Path, how: str) -> None:
    for number, name in enumerate(["x/a.png", "x/a.jpg", "b.png"]):
        put(tmp_path / name, number)
    (tmp_path / IGNORE_FILE).write_text("*.png\n")
    spoil(tmp_path / "x" / IGNORE_FILE, how)
    rules = Rules(["rules"], tmp_path)
    found = {each.path: each.kind for each in walk(rules) if isinstance(each, Seen)}
    assert found["x/a.jpg"] is Kind.ITEM
    assert found["b.png"] is found["x/a.png"] is Kind.IGNORED  # it is not made an item
    with pytest.raises(OSError, match=r"ignores it, but x/\.recqignore"):  # nor is it deleted
        look("x/a.png", rules)
    seen = look("b.png", rules)
    assert seen is not None
    assert seen.kind is Kind.IGNORED


def test_a_disk_that_fails_takes_nothing_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "a.png", 1)
    (tmp_path / IGNORE_FILE).write_text("*.png\n")
    rules = Rules([".*"], tmp_path)
    assert kinds(rules) == {"a.png": "ignored"}

    def fail(path: str, status: os.stat_result) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(ignore_files, "_bytes", fail)
        assert kinds(rules) == {"a.png": "ignored"}
        (problem,) = rules.ignore_files.problems(IGNORE_FILE)
        assert problem.detail == ".recqignore cannot be read: Input/output error; its earlier rules hold"
        assert kinds(Rules([".*"], tmp_path)) == {"a.png": "item"}
    assert kinds(rules) == {"a.png": "ignored"}
    assert rules.ignore_files.problems(IGNORE_FILE) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission(tmp_path: Path) -> None:
    put(tmp_path / "a.png", 1)
    file = tmp_path / IGNORE_FILE
    file.write_text("*.png\n")
    rules = Rules([".*"], tmp_path)
    assert kinds(rules) == {"a.png": "ignored"}
    file.chmod(0)
    assert kinds(rules) == {"a.png": "ignored"}
    (problem,) = rules.ignore_files.problems(IGNORE_FILE)
    assert "cannot be read: Permission denied" in problem.detail
    assert kinds(Rules([".*"], tmp_path)) == {"a.png": "item"}
    file.chmod(0o600)
    assert kinds(rules) == {"a.png": "ignored"}
    assert rules.ignore_files.problems(IGNORE_FILE) == []


# -- against git -------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "ab", "a.jpg", "b.jpg", "#a", "!a", "a ", "a*", "[a]", "a\\", "-"])
PARTS = st.sampled_from(
    ["a", "b", "ab", "*", "**", "?", "a*", "*b", "*.jpg", "a.*", "[ab]", "[!a]", "[a-b]*", r"\#a", r"\!a", r"a\ ",
     r"a\*", r"\[a]", "a**b", "**a", "*a*b*", "[]a]", "[^b]", "a ", "#a", "!a", "[a"]
)  # fmt: skip


@st.composite
def pattern_lines(draw: st.DrawFn) -> str:
    parts = draw(st.lists(PARTS, min_size=1, max_size=3))
    if "**" in parts and len(parts) > 1:
        parts = [part for part in parts if part not in ("[!a]", "[^b]")]  # git's fit no slash, pathspec's do
    if "[a" in parts:  # with a slash behind it is a class that fits a slash, to git; it is refused, and listed
        parts = ["[a"]
    line = "/".join(parts)
    line = (
        draw(st.sampled_from(["", "", "!", "/", "!/"])) + line + draw(st.sampled_from(["", "", "/", " ", "  ", "\r"]))
    )
    return line if draw(st.booleans()) else line.rstrip(" ")


FILES = st.lists(st.lists(NAMES, min_size=1, max_size=4).map("/".join), min_size=1, max_size=6, unique=True)
RULE_FILES = st.dictionaries(
    st.sampled_from(["", "a", "b", "a/b", "ab"]),
    st.lists(pattern_lines(), min_size=1, max_size=5),
    min_size=1,
    max_size=3,
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if GIT is None:
        pytest.skip("no git")
    folder = tmp_path_factory.mktemp("repository")
    subprocess.run([GIT, "init", "--quiet", str(folder)], check=True, env=GIT_ENV)
    return folder


GIT_ENV = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
}


def ignored_by_git(repository: Path, files: list[str]) -> set[str]:
    """The files that git ignores for its `.gitignore` files."""
    assert GIT is not None
    told = subprocess.run(
        [GIT, "-c", "core.excludesFile=", "check-ignore", "-z", "--stdin", "--no-index"],
        input=b"\0".join(map(os.fsencode, files)) + b"\0", capture_output=True, cwd=repository, check=False,
        env=GIT_ENV,
    )  # fmt: skip
    assert told.returncode in (0, 1), told.stderr
    return {os.fsdecode(path) for path in told.stdout.split(b"\0") if path}


def is_left_out(path: str, rules: Rules) -> bool:
    """Whether a file is ignored, or undecided for a line that is none to git and may be one to its writer."""
    try:
        seen = look(path, rules)
    except OSError:
        return True
    return seen is not None and seen.kind is Kind.IGNORED


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=FILES, rule_files=RULE_FILES)
@example(files=["a/b/a.jpg", "a/b/b.jpg"], rule_files={"": ["*.jpg"], "a": ["!b.jpg"]})
@example(files=["a/b", "b/a"], rule_files={"": ["a/", "!a/b"]})
@example(files=["a/b/ab", "a/ab"], rule_files={"": ["*", "!a/", "!*b"]})
@example(files=["a/b/ab"], rule_files={"": ["a/**/ab", "!a/b"]})
def test_the_same_is_ignored_as_git_ignores(
    repository: Path, files: list[str], rule_files: dict[str, list[str]]
) -> None:
    for entry in repository.iterdir():
        if entry.name != ".git":
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    made = []
    for name in files:
        try:
            (repository / name).parent.mkdir(parents=True, exist_ok=True)
            if not (repository / name).exists():
                (repository / name).touch()
                made.append(name)
        except OSError:  # a folder of another file's name
            continue
    for folder, lines in rule_files.items():
        if (repository / folder).is_dir():
            for name in (".gitignore", IGNORE_FILE):
                (repository / folder / name).write_bytes("\n".join(lines).encode())
    rules = Rules([], repository)
    ours = {name for name in made if is_left_out(name, rules)}
    theirs = ignored_by_git(repository, made)
    assert ours == theirs
    walked = [each for each in walk(Rules([".git", ".gitignore"], repository)) if isinstance(each, Seen)]
    assert {each.path for each in walked if each.kind is not Kind.IGNORED} == set(made) - ours
