"""Names that real tools gave to their files, and names that people give."""

import pytest

from slot_machine.core.digested import is_digested

DIGESTED = {
    "webpack": (
        "main.a4f3c18f36e2d8b0c1aa.js",
        "100.d28dec93.chunk.js",
        "runtime~main.5bc1f7cb.js",
        "static/media/logo.6ce24c58023cc2f8fd88fe9d219db6c6.svg",
        "static/3f2a9c1b4d5e6f708192.png",
        "2.18461539.chunk.js.map",
    ),
    "Vite": (
        "index-7NekIxxQ.js",
        "m13-DA1GnTig.js",
        "m12-CTykJYH-.js",
        "m25-4AR-w17_.js",
        "m31-2kk1jo_e.js",
        "m34-x920jfPD.js",
        "m2-DuwFNTcm.js",
        "m40-ZKZ8HYDC.js",
        "index-DiwrgTda.css",
        "index.3f2a9c1b.js",
    ),
    "esbuild": ("m10-LGRJ7IL6.js", "m19-DKH7Z36Y.js", "chunk-ABCDEFGH.js", "i-U6BJNDB2.png"),
    "Parcel and Angular": ("index.3f2a9c1b.css", "main.8c3d1f0e5b2a4c6d.js", "polyfills-FFHMD2TL.js"),
    "SvelteKit, Nuxt and Astro": (
        "immutable/entry/start.CdPRcAcl.js",
        "immutable/nodes/0.Bm3kPpWc.js",
        "DlAUqK2U.js",
        "entry.B0nXgv7K.css",
        "builds/meta/1b2c3d4e-5f60-4a7b-8c9d-0e1f2a3b4c5d.json",
        "hoisted.BaXyz123.js",
    ),
    "Next.js": (
        "chunks/36wyumjnpvzk-.js",
        "chunks/2cf-1whwj-7-f.js",
        "chunks/turbopack-2u1d16houkiyo.js",
        "chunks/main-3f2a9c1b4d5e6f70.js",
        "css/3f2a9c1b4d5e6f70.css",
        "media/c9a5bc6a7c948fb0-s.p.woff2",
        "8sSVHKF0U3puBl_TQwkp5/_buildManifest.js",
        "8sSVHKF0U3puBl_TQwkp5/_clientMiddlewareManifest.js",
        "release-7/_ssgManifest.js",
        "8sSVHKF0U3puBl_TQwkp5/pages/about.js",
    ),
    "Sprockets": (
        "application-8a3d5a9b5b2d9b1f7d6c5e4f3a2b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b.js",
        "logo-0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e.png",
        "application-8a3d5a9b5b2d9b1f7d6c5e4f3a2b1c0d.css.gz",
    ),
    "Propshaft": ("application-6d58c9e6.css", "controllers/hello_controller-708796bd.js"),
    "Django": (
        "admin/css/autocomplete.d24f10bdee41.css",
        "admin/img/LICENSE.2c54f4e1ca1c",
        "admin/js/vendor/jquery/LICENSE.de877aa6d744.txt",
        "admin/js/vendor/select2/i18n/zh-CN.2cff662ec5f9.js",
    ),
    "Laravel": ("build/assets/app-4ed993c7.js", "assets/app-BnQ2TfyV.css"),
    "Phoenix and others": ("app-d41d8cd98f00b204e9800998ecf8427e.css.br", "app-3f2a9c.js", "style.min.5e0f3a1.css"),
}

PLAIN = {
    "what people call their files": (
        "app.js",
        "jquery-3.7.1.min.js",
        "bootstrap-datepicker.js",
        "chunk-vendors.js",
        "vendor-polyfill.js",
        "app-settings.css",
        "Settings.js",
        "DejaVuSans-Bold.ttf",
        "favicon-32x32.png",
        "apple-touch-icon-180x180.png",
        "screen-1024x768.png",
        "photo-20240131.jpg",
        "backup-20240131123456.zip",
        "facade.css",
        "icon-decade.svg",
        "logo-123456.png",
        "chapter-version2.html",
        "admin/js/SelectBox.js",
        "select2/i18n/zh-CN.js",
        "vendor/jquery/LICENSE.txt",
        "fonts/inter.woff2",
        "robots.txt",
        "IMG-DSC01234.jpg",
        "sw.js",
        "service-worker.js",
        "service-worker-3f2a9c1b.js",
        "LICENSES.txt",
        "js/app.js.LICENSE.txt",
        "v2024/app.js",
        "images/20240131/cover.jpg",
    ),
    "manifests and dotfiles": (
        ".sprockets-manifest-8a3d5a9b5b2d9b1f7d6c5e4f3a2b1c0d.json",
        ".manifest.json",
        ".vite/manifest.json",
        ".cache/app-3f2a9c1b.js",
        "3f2a9c1b/.hidden.js",
        "manifest.json",
        "manifest-3f2a9c1b4d5e6f70.json",
        "asset-manifest.json",
        "mix-manifest.json",
        "cache_manifest-3f2a9c1b.json",
        "site-3f2a9c1b.webmanifest",
        "staticfiles.json",
        "importmap-3f2a9c1b.json",
        "import-map.json",
        "_buildManifest.js",
    ),
}


@pytest.mark.parametrize("name", [name for names in DIGESTED.values() for name in names])
def test_name_that_a_tool_made(name: str) -> None:
    assert is_digested(name)


@pytest.mark.parametrize("name", [name for names in PLAIN.values() for name in names])
def test_name_that_says_nothing_of_the_bytes(name: str) -> None:
    assert not is_digested(name)
