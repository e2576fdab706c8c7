"""Which text of a response is the program, and in which language."""

import pytest

from afterbase.eval.tasks.code.tested_programs import last_program


@pytest.mark.parametrize(
    ("response", "language", "text"),
    [
        ("print(7)", "cpp", "print(7)"),
        ("```python\nprint(7)\n```", "python", "print(7)\n"),
        ("<think>I sum.</think>print(7)", "cpp", "print(7)"),
        ("<think>\n```python\nprint(6)\n```\n</think>\n```cpp\nint main() {}\n```", "cpp", "int main() {}\n"),
        ("<think>\n```python\nprint(6)\n```\n</think>\nint main() {}", "cpp", "\nint main() {}"),
        ("<think>\n```python\nprint(6)\n```\n", "cpp", ""),
    ],
)
def test_the_program_is_in_the_answer_and_not_in_the_thought(response: str, language: str, text: str) -> None:
    assert last_program(response, default="cpp", languages=("cpp", "python")) == (language, text)
