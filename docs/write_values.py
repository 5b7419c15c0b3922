"""Write today's defaults into the pages about the options: ``python docs/write_values.py``."""

from exprun.commands.option_pages import current
from exprun.config.paths import pages_dir

for path in pages_dir().rglob("*.md"):
    group = path.relative_to(pages_dir()).with_suffix("").as_posix()
    path.write_text(current(group), encoding="utf-8")
