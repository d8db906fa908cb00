"""A folder of files, without a program."""

from slot_machine.detect.part import Part, Rank, Recognised
from slot_machine.detect.project import Project

SAID = (
    "start_command serves {what} with Python's server. It lists folders that have no index.html. Put another file"
    " server there if you need compression or redirects"
)
WHOLE = "all files of the repository are served, slot-machine.json too: move the site into a folder, such as public"


def find(project: Project) -> Part | None:
    for folder in ("public", "site", "www", "docs", "."):
        name = "index.html" if folder == "." else f"{folder}/index.html"
        if project.has(name):
            what = "this folder" if folder == "." else folder
            return Part(
                recognised=(Recognised("files only", name),),
                start=f"python3 -m http.server --bind 127.0.0.1 --directory {folder} $PORT",
                rank=Rank.STATIC,
                start_look=(SAID.format(what=what), *((WHOLE,) if folder == "." else ())),
            )
    return None
