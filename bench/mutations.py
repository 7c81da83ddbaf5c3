"""Small faults that can be put into a Python source: what `mutate.py` chooses from."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS: dict[type, tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
ARITHMETIC: dict[type, tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
}
NAMES = {"min": "max", "argmin": "argmax", "minimum": "maximum", "any": "all", "floor": "ceil", "cummax": "cummin"}
NAMES |= {other: name for name, other in NAMES.items()}
SKIPPED_FIELDS = {"annotation", "returns", "decorator_list", "type_params"}


@dataclass(frozen=True)
class Mutation:
    """One fault: bytes ``start`` to ``end`` of the source become ``text``; ``statement`` is its statement's line."""

    line: int
    statement: int
    start: int
    end: int
    text: str

    def apply(self, source: bytes) -> bytes:
        return source[: self.start] + self.text.encode() + source[self.end :]


class Finder:
    """Walks a source and collects the mutations of each node; f-strings, annotations and decorators are left alone."""

    def __init__(self, source: bytes) -> None:
        self.source = source
        self.begins = [0]
        for line in source.splitlines(keepends=True):
            self.begins.append(self.begins[-1] + len(line))
        self.statement: ast.stmt | None = None
        self.found: list[Mutation] = []

    def start(self, node: ast.expr | ast.stmt) -> int:
        return self.begins[node.lineno - 1] + node.col_offset

    def end(self, node: ast.expr | ast.stmt) -> int:
        return self.begins[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)

    def add(self, line: int, start: int, end: int, text: str) -> None:
        statement = self.statement.lineno if self.statement else line
        self.found.append(Mutation(line, statement, start, end, text))

    def replace(self, node: ast.expr | ast.stmt, text: str) -> None:
        self.add(node.lineno, self.start(node), self.end(node), text)

    def between(self, left: ast.expr, right: ast.expr, old: str, new: str) -> None:
        """Exchanges the operator that stands between two expressions."""
        begin = self.end(left)
        gap = self.source[begin : self.start(right)].decode()
        found = re.search(rf"(?<!\w){re.escape(old)}(?!\w)", re.sub(r"#[^\n]*", lambda one: " " * len(one[0]), gap))
        if found:
            line = (left.end_lineno or left.lineno) + gap[: found.start()].count("\n")
            place = begin + len(gap[: found.start()].encode())
            self.add(line, place, place + len(old), new)

    def negate(self, test: ast.expr) -> None:
        self.replace(test, f"(not ({self.source[self.start(test) : self.end(test)].decode()}))")

    def walk(self, node: ast.AST) -> None:
        if isinstance(node, ast.JoinedStr) or _is_main_guard(node):
            return
        outer = self.statement
        if isinstance(node, ast.stmt):
            self.statement = node
            self.mutate_statement(node)
        elif isinstance(node, ast.expr):
            self.mutate_expression(node)
        elif isinstance(node, ast.comprehension):
            for test in node.ifs:
                self.negate(test)
        for name, value in ast.iter_fields(node):
            if name not in SKIPPED_FIELDS:
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST):
                        self.walk(child)
        self.statement = outer

    def mutate_statement(self, node: ast.stmt) -> None:
        match node:
            case ast.Expr(value=ast.Constant()) | ast.Return(value=None | ast.Constant(value=None)):
                pass
            case ast.Expr() | ast.Raise():
                self.replace(node, "pass")
            case ast.Return():
                self.replace(node, "return None")
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
                self.replace(node, "pass")
            case ast.AugAssign(op=op) if type(op) in ARITHMETIC:
                old, new = ARITHMETIC[type(op)]
                self.between(node.target, node.value, f"{old}=", f"{new}=")
            case ast.If() | ast.While():
                self.negate(node.test)
            case ast.Break():
                self.replace(node, "continue")
            case ast.Continue():
                self.replace(node, "break")
            case _:
                pass

    def mutate_expression(self, node: ast.expr) -> None:
        match node:
            case ast.Compare():
                sides = [node.left, *node.comparators]
                for left, op, right in zip(sides, node.ops, sides[1:], strict=False):
                    self.between(left, right, *COMPARISONS[type(op)])
            case ast.BinOp(op=op) if type(op) in ARITHMETIC and not _is_type(node):
                self.between(node.left, node.right, *ARITHMETIC[type(op)])
            case ast.BoolOp():
                swap = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
                for left, right in zip(node.values, node.values[1:], strict=False):
                    self.between(left, right, *swap)
            case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert()):
                self.add(node.lineno, self.start(node), self.start(node.operand), "")
            case ast.IfExp():
                self.negate(node.test)
            case ast.Constant(value=bool()):
                self.replace(node, str(not node.value))
            case ast.Constant(value=int(number)):
                self.replace(node, f"{number + 1}")
                self.replace(node, f"({number - 1})")
            case ast.Constant(value=float(number)):
                self.replace(node, repr(2 * number or 1.0))
            case ast.Call(func=ast.Name(id=name)) if name in NAMES:
                self.replace(node.func, NAMES[name])
            case ast.Call(func=ast.Attribute(attr=name)) if name in NAMES:
                end = self.end(node.func)
                self.add(node.func.end_lineno or node.lineno, end - len(name), end, NAMES[name])
            case _:
                pass


def _is_type(node: ast.BinOp) -> bool:
    """Whether this is a union such as `int | None` outside an annotation."""
    return isinstance(node.op, ast.BitOr) and isinstance(node.right, ast.Constant) and node.right.value is None


def _is_main_guard(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("__name__ == '__main__'", "TYPE_CHECKING")


def mutations_of(source: bytes) -> Iterator[Mutation]:
    """Every mutation of a source that still compiles."""
    finder = Finder(source)
    finder.walk(ast.parse(source))
    for mutation in finder.found:
        try:
            compile(mutation.apply(source), "mutant", "exec")
        except (SyntaxError, ValueError):
            continue
        yield mutation
