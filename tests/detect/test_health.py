from pathlib import Path

import pytest

from slot_machine.detect import health
from tests.detect.given import project


@pytest.mark.parametrize(
    ("name", "text", "route"),
    [
        ("app.js", "app.get('/health', (req, res) => res.send('ok'))", "/health"),
        ("app.js", "app.use('/healthz', health)", "/healthz"),
        ("routes/x.js", "router.get('/health', f)", ""),
        ("client.js", "axios.get('/health')", ""),
        ("test/app.js", "app.get('/health', f)", ""),
        ("main.py", "@app.get('/api/health')\ndef health(): ...", "/api/health"),
        ("main.py", "@router.get('/health')", ""),
        ("app.rb", "get '/ping' do", "/ping"),
        ("config.ru", '  get("/health") { "ok" }', "/health"),
        ("main.go", 'mux.HandleFunc("GET /healthz", f)', "/healthz"),
        ("main.go", 'r.GET("/ping", f)', "/ping"),
        ("src/main.rs", '.route("/health", get(health))', "/health"),
        ("app/api/health/route.ts", "", "/api/health"),
        ("pages/api/ping.js", "", "/api/ping"),
        ("server/routes/healthz.get.ts", "", "/healthz"),
        ("src/routes/health/+server.ts", "", "/health"),
        ("app/routes/healthcheck.tsx", "", "/healthcheck"),
        ("app.js", "app.get('/healthy-recipes', f)", ""),
    ],
)
def test_route_that_a_source_shows(tmp_path: Path, name: str, text: str, route: str) -> None:
    assert health.find(project(tmp_path, {name: text})) == (route, name if route else "")
