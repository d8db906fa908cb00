from pathlib import Path

import pytest

from slot_machine.detect import data
from slot_machine.detect.part import Part
from tests.detect.given import Files, project


@pytest.mark.parametrize(
    ("files", "dirs", "names"),
    [
        ({"uploads/.gitkeep": ""}, ("uploads",), ()),
        ({".gitignore": "/data/\n"}, ("data",), ()),
        ({"data/countries.json": "{}"}, (), ()),
        ({"app.js": "multer({ dest: './uploads/' })"}, ("uploads",), ()),
        ({"app.js": "new Database('app.db')"}, (), ("app.db",)),
        ({"app.py": "sqlite = 'sqlite:///var/app.sqlite3'"}, ("var",), ()),
        ({"app.js": "open('seed.db')", "seed.db": ""}, (), ()),
        ({"app.py": "argument(x, dest='loop')"}, (), ()),
        ({"app.py": "os.path.join(app.instance_path, 'x.sqlite')"}, (), ()),
        ({"app.js": "new SQLiteStore({ db: 'sessions.db', dir: './var/db' })"}, ("var/db",), ()),
        ({"app.js": "x"}, (), ()),
    ],
)
def test_what_looks_like_data(tmp_path: Path, files: Files, dirs: tuple[str, ...], names: tuple[str, ...]) -> None:
    assert data.find(project(tmp_path, files), [])[:2] == (dirs, names)


def test_nothing_below_a_folder_that_a_framework_names(tmp_path: Path) -> None:
    given = project(tmp_path, {".gitignore": "storage\npublic/uploads", "x.rb": "'storage/production.sqlite3'"})
    rails = Part((), shared_dirs=("storage",), shared_files=("storage/x.db", "db/test.db"))

    dirs, files, said = data.find(given, [rails])

    assert (dirs, files) == (("storage", "public/uploads"), ("db/test.db",))
    assert said == ("shared_dirs has public/uploads, which looks like a folder for data",)
