import pytest

from afterbase.core.errors import UserError
from afterbase.sandbox import languages
from afterbase.sandbox.languages import LANGUAGES, java_names, language_of, toolchain


def test_every_spelling_names_one_language() -> None:
    spellings = [spelling for language in LANGUAGES for spelling in language.spellings]
    assert len(spellings) == len(set(spellings))
    assert [language_of(s.upper()).name for s in ("py", "node", "ts", "java", "c++", "cs", "php", "sh")] == [
        language.name for language in LANGUAGES
    ]


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(UserError, match="'cobol'"):
        language_of("cobol")


def test_a_missing_tool_is_told_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(languages.shutil, "which", lambda *_, **__: None)
    with pytest.raises(UserError, match=r"php need `php`\n.*no such command\n.*apt-get install php-cli"):
        toolchain(language_of("php"))


def test_a_tool_that_other_users_cannot_read_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(languages, "reachable", lambda folder: False)
    with pytest.raises(UserError, match="which other users may not read"):
        toolchain(language_of("bash"))


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("public class Sum { public static void main(String[] a) {} }", ("Sum", "Sum")),
        (
            "class Helper { void f() { if (true) {} } } public class Sum { static void main(String[] a) {} }",
            ("Sum", "Sum"),
        ),
        ("class A { public static void main(String[] a) {} } class B {}", ("A", "A")),
        ("public class B {} class A { public static void main(String... a) {} }", ("B", "A")),
        ("package a.b;\npublic final class M { public static void main(String[] a) {} }", ("M", "a.b.M")),
        ("public class M { static class N { void main(int x) {} } static void main(String[] a) {} }", ("M", "M")),
        (
            "// public class X {\n/* class Y { */ class Z { String s = \"{ class W {\"; char c = '{'; void main() {} }",
            ("Z", "Z"),
        ),
        ("public record R(int x) { public static void main(String[] a) {} }", ("R", "R")),
        ("public class My$1 { public static void main(String[] a) {} }", ("My$1", "My$1")),
        ("class H { void main(String s) {} } public class R { static public void main(String... a) {} }", ("R", "R")),
        ("class H { static void main(int n) {} } class R { static void main(final String[] a) {} }", ("R", "R")),
        ('class H { String s = """\n  {{ \\""" "\n """; } public class T { void main() {} }', ("T", "T")),
        (f"public class {'L' * 300} {{ static void main(String[] a) {{}} }}", ("Main", "Main")),
        ("", ("Main", "Main")),
        ("}}}}", ("Main", "Main")),
    ],
)
def test_java_sources_are_named_for_their_public_type(source: str, names: tuple[str, str]) -> None:
    assert java_names(source) == names


@pytest.mark.parametrize(
    "piece", ["/*", '"\\', "'", '"""', "static ", "public\n", "static void ", "{", "class ", '"\\\n']
)
def test_a_megabyte_of_beginnings_in_java_is_read_in_linear_time(piece: str) -> None:
    """One that starts over at each of them is not done within the hour."""
    file, _ = java_names(piece * (1_000_000 // len(piece)))
    assert file in ("Main", "class")
