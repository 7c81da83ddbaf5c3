"""The page's modules as one script, on modules made here. Skips what runs JavaScript where node is missing."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ballspot.evaluate.viewer.page_script import page_script
from ballspot.evaluate.viewer.server import PAGE

NODE = shutil.which("node")

MODULES = {
    "app": """
import { double as twice, LEFT, RIGHT } from "./tools.js";
import "./first.js";
import { Box, $ } from "./first.js";
export const told = [twice(LEFT), RIGHT, new Box(3).size, $, here()];
function here() { return 'app'; }
""",
    "tools": """
import {
  Box, later,
} from "./first.js";

export const [LEFT, RIGHT] = [1, 2];
export function double(x) { return here(x) * new Box(2).size; }
const here = (x) => x;
export async function wait() { return later(); }
""",
    "first": """
export class Box { constructor(size) { this.size = size; } }
export const $ = 'one';
export function* later() { yield 1; }
const here = 0;
""",
}


def write(folder: Path, modules: dict[str, str]) -> Path:
    for name, text in modules.items():
        (folder / f"{name}.js").write_text(text, encoding="utf-8")
    return folder


def test_each_module_stands_once_behind_those_it_imports(tmp_path: Path):
    script = page_script(write(tmp_path, MODULES))
    assert re.findall(r"^// (\w+)\.js$", script, re.MULTILINE) == ["first", "tools", "app"]


def test_every_module_of_the_page_is_in_its_script():
    found = re.findall(r"^// (\w+)\.js$", page_script(PAGE), re.MULTILINE)
    assert sorted(found) == sorted(path.stem for path in PAGE.glob("*.js"))


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_the_script_does_what_the_modules_do(tmp_path: Path):
    write(tmp_path, MODULES)
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    (tmp_path / "whole.js").write_text(page_script(tmp_path), encoding="utf-8")
    tell = "const { told } = (await import('./app.js')), one = (await import('./whole.js')).app.told;"
    words = [str(NODE), "--input-type=module", "--eval", f"{tell} console.log(JSON.stringify([told, one]))"]
    told = subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert told.strip() == '[[2,2,3,"one","app"],[2,2,3,"one","app"]]'


@pytest.mark.parametrize(
    "line",
    [
        'import tools from "./tools.js";',
        'import * as tools from "./tools.js";',
        'import { a } from "/tools.js";',
        "export default 3;",
        "export let changing = 3;",
        "export const { a } = {};",
        'export { a } from "./tools.js";',
    ],
)
def test_another_way_to_import_or_export_is_refused(tmp_path: Path, line: str):
    write(tmp_path, {"app": f"const a = 1;\n{line}\n", "tools": ""})
    with pytest.raises(ValueError, match=re.escape(f"app.js: this way to import or export is not known: {line}")):
        page_script(tmp_path)


def test_a_circle_is_refused(tmp_path: Path):
    write(tmp_path, {"app": 'import { a } from "./b.js";\n', "b": 'import { told } from "./app.js";\n'})
    with pytest.raises(ValueError, match="app -> b -> app"):
        page_script(tmp_path)
