"""Projects of other kinds, and the file that is proposed for each."""

from pathlib import Path

import pytest

from tests.detect.given import Files, fields, package, proposed

CASES: dict[str, tuple[Files, dict[str, object], tuple[str, ...]]] = {
    "rails": (
        {
            "Gemfile.lock": "GEM\n  specs:\n    railties (7.1.0)\n    puma (6.0)\n    sprockets (4)\n    sidekiq (7)\n",
            "Gemfile": "ruby '3.3.0'",
            "config/routes.rb": 'get "up" => "rails/health#show"',
            "config/puma.rb": 'port ENV.fetch("PORT")',
            "config/database.yml": "production:\n  database: storage/production.sqlite3",
            "config/storage.yml": "",
        },
        {
            "start_command": "RAILS_ENV=production RAILS_LOG_TO_STDOUT=1 bundle exec puma -C config/puma.rb",
            "setup_command": "bundle config set --local deployment true && bundle install",
            "build_command": "SECRET_KEY_BASE_DUMMY=1 RAILS_ENV=production RAILS_LOG_TO_STDOUT=1 bundle exec rails assets:precompile",
            "release_command": "RAILS_ENV=production RAILS_LOG_TO_STDOUT=1 bundle exec rails db:migrate",
            "processes": {
                "worker": {
                    "command": "RAILS_ENV=production RAILS_LOG_TO_STDOUT=1 bundle exec sidekiq",
                    "quiet_signal": "TSTP",
                }
            },
            "health_endpoint": "/up",
            "shared_dirs": ("storage",),
            "asset_dirs": ("public/assets",),
        },
        (
            "set RAILS_MASTER_KEY or SECRET_KEY_BASE in env_file: git has no config/master.key, so no slot has it",
            "Gemfile asks for ruby 3.3.0, and this machine has 3.1.2: install the one it asks for",
        ),
    ),
    "sinatra": (
        {
            "Gemfile.lock": "GEM\n  specs:\n    sinatra (3.0)\n    puma (5.6)\n",
            "config.ru": "run App",
            "app.rb": "get '/healthz' do",
        },
        {
            "start_command": "RACK_ENV=production bundle exec puma -b tcp://127.0.0.1:$PORT",
            "setup_command": "bundle config set --local deployment true && bundle install",
            "health_endpoint": "/healthz",
        },
        (),
    ),
    "go": (
        {
            "go.mod": "module x\n\ngo 1.22\n",
            "go.sum": "",
            "cmd/server/main.go": 'package main\n\nfunc main() {\n os.Getenv("PORT")}',
            "cmd/tool/main.go": "package main\n\nfunc main() {}",
        },
        {
            "start_command": "bin/server",
            "setup_command": "go mod download",
            "build_command": "go build -o bin/server ./cmd/server",
            "health_endpoint": "/",
            "health_status": "200-399",
        },
        (),
    ),
    "rust": (
        {"Cargo.toml": "[package]\nname='hello'\nversion='1'", "Cargo.lock": "", "src/main.rs": 'env::var("PORT")'},
        {
            "start_command": "target/release/hello",
            "setup_command": "cargo fetch --locked",
            "build_command": "cargo build --release --locked --bin hello",
            "health_endpoint": "/",
            "health_status": "200-399",
        },
        (),
    ),
    "phoenix": (
        {
            "mix.exs": '{:phoenix, "~> 1.7"}, {:ecto_sql} "assets.deploy": []',
            "config/runtime.exs": 'System.get_env("DATABASE_URL")',
        },
        {
            "start_command": "PHX_SERVER=true MIX_ENV=prod mix phx.server",
            "setup_command": "mix local.hex --force && mix local.rebar --force && MIX_ENV=prod mix deps.get --only prod",
            "build_command": "MIX_ENV=prod mix compile && MIX_ENV=prod mix assets.deploy",
            "release_command": "MIX_ENV=prod mix ecto.migrate",
            "health_endpoint": "/healthz",
            "asset_dirs": ("priv/static/assets",),
        },
        ("set DATABASE_URL in env_file: config/runtime.exs asks for it",),
    ),
    "laravel": (
        {
            "composer.json": {"require": {"laravel/framework": "11", "php": "^8.2"}},
            "composer.lock": "",
            "bootstrap/app.php": "health: '/up'",
            "package.json": package({"build": "vite build"}, ("vite",)),
            "package-lock.json": "{}",
        },
        {
            "start_command": "php artisan serve --host=127.0.0.1 --port=$PORT",
            "setup_command": "composer install --no-dev --no-interaction --optimize-autoloader && npm ci --include=dev",
            "build_command": "npm run build",
            "release_command": "php artisan migrate --force",
            "health_endpoint": "/up",
            "shared_dirs": ("storage",),
            "asset_dirs": ("public/build/assets",),
        },
        (
            "start_command is PHP's own server, which is for development: put php-fpm or FrankenPHP there",
            "set APP_KEY in env_file: `php artisan key:generate --show` makes one",
        ),
    ),
    "deno": (
        {"deno.json": {"tasks": {"start": "deno run -A main.ts"}}, "main.ts": "Deno.env.get('PORT')"},
        {"start_command": "deno run -A main.ts", "health_endpoint": "/", "health_status": "200-399"},
        (),
    ),
    "static": (
        {"index.html": ""},
        {
            "start_command": "python3 -m http.server --bind 127.0.0.1 --directory . $PORT",
            "health_endpoint": "/",
            "health_status": "200-399",
        },
        (
            "start_command serves this folder with Python's server. It lists folders that have no index.html. Put another file server there if you need compression or redirects",
            "all files of the repository are served, slot-machine.json too: move the site into a folder, such as public",
        ),
    ),
    "procnode": (
        {
            "Procfile": "web: npm start\nclock: node clock.js\n",
            "package.json": package({"start": "next start", "build": "next build"}, ("next",)),
            "package-lock.json": "{}",
        },
        {
            "start_command": "node_modules/.bin/next start",
            "setup_command": "npm ci --include=dev",
            "build_command": "npm run build",
            "processes": {"clock": {"command": "node clock.js", "singleton": True}},
            "health_endpoint": "/healthz",
            "asset_dirs": (".next/static",),
        },
        (),
    ),
    "empty": (
        {},
        {"start_command": "", "health_endpoint": "/healthz"},
        ("fill in start_command: found nothing that says how to start the app",),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_proposed(tmp_path: Path, name: str) -> None:
    files, expected, look = CASES[name]

    found = proposed(tmp_path, files)

    assert fields(found) == expected
    assert found.look == look
