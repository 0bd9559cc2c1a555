"""What a file does where it is imported."""

from pathlib import Path

import pytest

from bench.worker.sources import definitions, done_by, source_of


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("", False),
        ('"""Docs."""\n\n# a comment\n', False),
        ("def f():\n    return 1\n\nasync def g(x=3): pass\n", False),
        ('class A:\n    """Docs."""\n    def f(self): pass\n', False),
        ("class A:\n    pass\n", False),
        ("if __name__ == '__main__':\n    run()\n", False),
        ("import torch\n", True),
        ("A = 1\n", True),
        ("class A:\n    wait = 1\n", True),
        ("@register\nclass A: pass\n", True),
        ("class A(metaclass=M): pass\n", True),
        ("torch.set_num_threads(1)\n", True),
        ("torch.backends.cudnn.benchmark = True\n", True),
        ("if True:\n    A = 1\n", True),
        ("if __name__ == '__main__':\n    run()\nelse:\n    A = 1\n", True),
        ("\0\1", True),
    ],
)
def test_what_a_file_does_where_it_is_imported(text: str, counts: bool) -> None:
    assert (done_by(text.encode()).statements != done_by(b"").statements) is counts


def test_what_a_file_calls_where_it_is_imported() -> None:
    code = "X = cfg.setup(1)\n\n@keep(2)\ndef f(x=default()):\n    return never()\n\nclass A:\n    y = B().z\n"
    assert done_by(code.encode()).names == {"cfg", "setup", "keep", "default", "B"}


def test_the_order_of_what_a_file_does_counts() -> None:
    one, other = (done_by("\n".join(lines).encode()) for lines in (("A = 1", "A = 2"), ("A = 2", "A = 1")))
    assert one != other


def test_what_is_evaluated_where_a_function_is_defined() -> None:
    code = "@keep\n@twice(2)\ndef f(a, b=1, *, c=2):\n    def g(): pass\n\n"
    one, other = definitions(code.encode()), definitions(code.replace("c=2", "c=3").encode())
    assert [*one] == [1, 4] and one[4] == []
    assert len(one[1]) == 4 and one[1] != other[1]
    assert definitions(b"\0") == {}


def test_a_file_that_is_gone_is_empty(tmp_path: Path) -> None:
    assert source_of(str(tmp_path / "gone.py")) == b""
