"""PHP: Laravel, Symfony, and other apps of Composer."""

import re

from slot_machine.detect.machine import Machine
from slot_machine.detect.part import Part, Rank, Recognised
from slot_machine.detect.project import Project, table
from slot_machine.detect.versions import mismatch

SERVER = "php -S 127.0.0.1:$PORT -t {folder}"
SAID = "start_command is PHP's own server, which is for development: put php-fpm or FrankenPHP there"


def find(project: Project, machine: Machine) -> Part | None:
    """Raises Unreadable."""
    if not project.has("composer.json"):
        return None
    needs = table(project.json("composer.json"), "require")
    lock = project.first("composer.lock")
    wanted = str(needs.get("php") or "")
    look = [said for said in (mismatch(machine, "php", wanted, "composer.json"),) if said]
    if not machine.has("composer"):
        look.append("composer is not installed on this machine, and composer.json needs it")
    if not lock:
        look.append("commit composer.lock: without it, two deploys may install other versions")
    part = Part(
        recognised=(Recognised("Composer", lock or "composer.json"),),
        setup="composer install --no-dev --no-interaction --optimize-autoloader",
        look=tuple(look),
    )
    if "laravel/framework" in needs:
        return _laravel(project, part, octane="laravel/octane" in needs)
    folder = next((folder for folder in ("public", "web", "html") if project.has(f"{folder}/index.php")), "")
    router = f" {folder}/index.php" if folder and any(name.startswith(("symfony/", "slim/")) for name in needs) else ""
    if not folder and not project.has("index.php"):
        return part
    return part._replace(start=SERVER.format(folder=folder or ".") + router, rank=Rank.APP, start_look=(SAID,))


def _laravel(project: Project, part: Part, *, octane: bool) -> Part:
    server = "octane:start" if octane else "serve"
    health = re.search(r"health:\s*['\"](/[\w/-]*)['\"]", project.text("bootstrap/app.php"))
    own = project.on_disk(".env")
    secret = () if "APP_KEY=" in own else ("set APP_KEY in env_file: `php artisan key:generate --show` makes one",)
    files = ("database/database.sqlite",) if "DB_CONNECTION=sqlite" in own + project.text(".env.example") else ()
    return part._replace(
        recognised=(*part.recognised, Recognised("Laravel", "composer.json")),
        release="php artisan migrate --force",
        start=f"php artisan {server} --host=127.0.0.1 --port=$PORT",
        rank=Rank.BACKEND,
        health=health[1] if health else "",
        shared_dirs=("storage",),
        shared_files=files,
        asset_dirs=("public/build/assets",) if project.has("package.json") else (),
        look=(*part.look, *secret),
        start_look=() if octane else (SAID,),
    )
