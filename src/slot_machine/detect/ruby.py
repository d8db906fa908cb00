"""Ruby: Rails, and apps with Rack."""

import re

from slot_machine.core.version_config import Process
from slot_machine.detect import shell
from slot_machine.detect.machine import Machine, numbers
from slot_machine.detect.part import Part, Rank, Recognised
from slot_machine.detect.project import Project
from slot_machine.detect.versions import mismatch

PRODUCTION = "RAILS_ENV=production RAILS_LOG_TO_STDOUT=1"


def find(project: Project, machine: Machine) -> Part | None:
    manifest = project.first("Gemfile.lock", "Gemfile")
    gems = _gems(project)
    app = _rails(project, gems) if "railties" in gems or "rails" in gems else _rack(project, gems)
    if not manifest:
        return app
    app = app or Part(())
    look = list(app.look)
    if not machine.has("bundle"):
        look.append(f"bundle is not installed on this machine, and {manifest} needs it")
    wanted = re.search(r"^\s*ruby\s+['\"]([^'\"]+)['\"]", project.text("Gemfile"), re.MULTILINE)
    own = project.text(".ruby-version").strip().removeprefix("ruby-")
    version = wanted[1] if wanted else own if numbers(own) else ""
    if said := mismatch(machine, "ruby", version, "Gemfile" if wanted else ".ruby-version" if version else manifest):
        look.append(said)
    setup = "bundle config set --local deployment true && bundle install"
    if manifest == "Gemfile":
        setup = "bundle config set --local path vendor/bundle && bundle install"
        look.append("commit Gemfile.lock: without it, two deploys may install other versions")
    return app._replace(recognised=(Recognised("Bundler", manifest), *app.recognised), setup=setup, look=tuple(look))


def in_production(project: Project, command: str) -> str:
    """A command of a Procfile for Rails, which runs in development unless it is told otherwise."""
    gems = _gems(project)
    simple = shell.only(command)
    if not {"rails", "railties"} & set(gems) or not simple or "RAILS_ENV" in command:
        return command
    return f"{PRODUCTION} {command}" if simple.program in ("bundle", "rails", "rake", "puma", "sidekiq") else command


def _gems(project: Project) -> dict[str, str]:
    """Names and versions."""
    locked = re.findall(r"^    ([\w.-]+) \(([^)]+)\)", project.text("Gemfile.lock"), re.MULTILINE)
    if locked:
        return dict(locked)
    return dict.fromkeys(re.findall(r"^\s*gem\s+['\"]([\w.-]+)['\"]", project.text("Gemfile"), re.MULTILINE), "")


def _rails(project: Project, gems: dict[str, str]) -> Part:
    version = numbers(gems.get("railties") or gems.get("rails") or "")
    own_config = project.text("config/puma.rb")
    bind = "" if "PORT" in own_config else " -b tcp://127.0.0.1:$PORT"
    config = " -C config/puma.rb" if own_config else ""
    server = f"puma{config}{bind}" if "puma" in gems else "rails server -b 127.0.0.1 -p $PORT"
    build = ""
    if {"sprockets", "propshaft", "sprockets-rails"} & set(gems):
        dummy = "SECRET_KEY_BASE_DUMMY=1 " if version >= (7, 1) else ""
        build = f"{dummy}{PRODUCTION} bundle exec rails assets:precompile"
    serves = "" if version >= (7, 1) else " RAILS_SERVE_STATIC_FILES=1"
    dirs, files = _rails_data(project)
    return Part(
        recognised=(Recognised("Rails", "Gemfile.lock" if project.has("Gemfile.lock") else "Gemfile"),),
        build=build,
        release=f"{PRODUCTION} bundle exec rails db:migrate" if project.has("config/database.yml") else "",
        start=f"{PRODUCTION}{serves} bundle exec {server}",
        rank=Rank.BACKEND,
        processes=_workers(gems),
        health="/up" if re.search(r"rails/health#show|rails_health_check", project.text("config/routes.rb")) else "",
        shared_dirs=dirs,
        shared_files=files,
        asset_dirs=("public/assets",) if build else (),
        look=_secrets(project),
    )


def _rails_data(project: Project) -> tuple[tuple[str, ...], tuple[str, ...]]:
    settings = project.text("config/database.yml")
    production = settings.split("production:", 1)[-1]
    databases = re.findall(r"database:\s*([\w./-]+\.(?:sqlite3?|db))", production)
    dirs = (
        ["storage"]
        if project.has("config/storage.yml") or any(name.startswith("storage/") for name in databases)
        else []
    )
    files = [name for name in databases if not name.startswith("storage/")]
    return tuple(dirs), tuple(dict.fromkeys(files))


def _secrets(project: Project) -> tuple[str, ...]:
    """Rails needs one of two secrets in production."""
    own = project.on_disk(".env")
    if project.has("config/master.key") or "SECRET_KEY_BASE=" in own or "RAILS_MASTER_KEY=" in own:
        return ()
    return ("set RAILS_MASTER_KEY or SECRET_KEY_BASE in env_file: git has no config/master.key, so no slot has it",)


def _workers(gems: dict[str, str]) -> dict[str, str | Process]:
    workers: dict[str, str | Process] = {}
    if "sidekiq" in gems:
        workers["worker"] = Process(command=f"{PRODUCTION} bundle exec sidekiq", quiet_signal="TSTP")
    elif "solid_queue" in gems:
        workers["worker"] = f"{PRODUCTION} bundle exec rake solid_queue:start"
    elif "good_job" in gems:
        workers["worker"] = f"{PRODUCTION} bundle exec good_job start"
    return workers


def _rack(project: Project, gems: dict[str, str]) -> Part | None:
    """Sinatra, Roda, Hanami and anything else with a config.ru; or a Sinatra app in one file."""
    call = "bundle exec " if gems else ""
    at = "tcp://127.0.0.1:$PORT"
    if project.has("config.ru"):
        own = project.text("config/puma.rb")
        if "puma" in gems or not gems:
            server = f"puma{' -C config/puma.rb' if own else ''}{'' if 'PORT' in own else f' -b {at}'}"
        elif "falcon" in gems:
            server = "falcon serve -b http://127.0.0.1:$PORT"
        else:
            server = "rackup -o 127.0.0.1 -p $PORT"
        return _ruby("Rack", "config.ru", f"RACK_ENV=production {call}{server}")
    for name, text in project.sources(".rb"):
        if re.search(r"^\s*require\s+['\"]sinatra['\"]", text, re.MULTILINE):
            return _ruby("Sinatra", name, f"APP_ENV=production {call}ruby {name} -o 127.0.0.1 -p $PORT")
    return None


def _ruby(what: str, file: str, start: str) -> Part:
    return Part((Recognised(what, file),), start=start, rank=Rank.APP)
