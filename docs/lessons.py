"""Run the commands of the lessons; write what they print and draw into the pages:
``python docs/lessons.py [--check] [LESSON …]``.

The commands of a page are run from top to bottom in an empty folder. Those in ``bash`` blocks are
only run, of the one in a ``console`` block the output is written below it. A picture
``NAME/FILE.png`` of the page is ``outputs/NAME/FILE.png`` of that folder, with a palette of 256
colours. The last line of a page is a checksum of the blocks and pictures, so that a test sees what
was changed by hand. ``--check`` writes nothing and says what would change; exit code 1 then.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

LESSONS = Path(__file__).parent / "lessons"
BLOCK = re.compile(r"^```(bash|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PICTURE = re.compile(r"!\[.*?\]\((.*?)\)")
CHECKSUM = re.compile(r"\n<!-- made by python docs/lessons\.py: \w* -->\n$")


def names() -> list[str]:
    """The lessons, each a page ``NAME.md``."""
    return sorted(page.stem for page in LESSONS.glob("*.md") if page.stem != "README")


def commands(text: str) -> list[str]:
    """All commands of a page, in the order in which they are run."""
    found = []
    for kind, body in BLOCK.findall(text):
        lines = body.replace("\\\n", "").splitlines()
        found += lines if kind == "bash" else [lines[0].removeprefix("$ ")]
    return found


def sealed(text: str, pictures: dict[str, bytes]) -> str:
    """The page with the checksum of its blocks and pictures as its last line."""
    text = CHECKSUM.sub("", text).rstrip("\n")
    checksum = hashlib.sha256("".join(match[0] for match in BLOCK.finditer(text)).encode())
    for name in PICTURE.findall(text):
        checksum.update(pictures[name])
    return f"{text}\n\n<!-- made by python docs/lessons.py: {checksum.hexdigest()[:16]} -->\n"


def stored_pictures(text: str) -> dict[str, bytes]:
    """The pictures of a page as they are in the repository; those that are missing are empty."""
    paths = {name: LESSONS / name for name in PICTURE.findall(text)}
    return {name: path.read_bytes() if path.is_file() else b"" for name, path in paths.items()}


def made(text: str, folder: Path) -> tuple[str, dict[str, bytes]]:
    """The page and its pictures, made again in an empty folder."""

    def written(block: re.Match[str]) -> str:
        kind, body = block.groups()
        if kind == "bash":
            shell(body, folder)
            return block[0]
        command = body.splitlines()[0]
        output = shell(command.removeprefix("$ "), folder).strip("\n")
        return f"```console\n{command}\n{output}\n```"

    text = BLOCK.sub(written, text)
    pictures = {name: small(folder / "outputs" / name) for name in PICTURE.findall(text)}
    return sealed(text, pictures), pictures


def shell(script: str, folder: Path) -> str:
    """What a script prints with the ``exprun`` of this environment on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def small(path: Path) -> bytes:
    """A PNG with a palette, about a third of the size."""
    with Image.open(path) as image, io.BytesIO() as file:
        image.convert("RGB").quantize().save(file, "png", optimize=True)
        return file.getvalue()


def check(name: str, text: str, pictures: dict[str, bytes]) -> bool:
    """Print how a page that was made again differs from the one in the repository."""
    page = LESSONS / f"{name}.md"
    old = page.read_text(encoding="utf-8")
    stored = stored_pictures(old)
    lines = old.splitlines(keepends=True), text.splitlines(keepends=True)
    sys.stdout.writelines(difflib.unified_diff(*lines, str(page), "made again"))
    other = [picture for picture, content in pictures.items() if content != stored[picture]]
    for picture in other:
        print(f"{LESSONS / picture} is another picture now")
    return text == old and not other


def write(name: str, text: str, pictures: dict[str, bytes]) -> None:
    (LESSONS / f"{name}.md").write_text(text, encoding="utf-8")
    for picture, content in pictures.items():
        (LESSONS / picture).parent.mkdir(exist_ok=True)
        (LESSONS / picture).write_bytes(content)


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the lessons again.")
    parser.add_argument("--check", action="store_true", help="only say what would change")
    parser.add_argument("lessons", metavar="LESSON", nargs="*", help="default: all")
    arguments = parser.parse_args()
    same = True
    for name in arguments.lessons or names():
        print(name, flush=True)
        old = (LESSONS / f"{name}.md").read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as folder:
            text, pictures = made(old, Path(folder))
        if arguments.check:
            same &= check(name, text, pictures)
        else:
            write(name, text, pictures)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
