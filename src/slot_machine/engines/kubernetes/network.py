"""How requests reach the app: the Service, and what leads `domains` to it, an Ingress or an HTTPRoute."""

from slot_machine.core.daemon_config import OwnCertificate
from slot_machine.engines.kubernetes import names, pod
from slot_machine.engines.kubernetes.pod import Json
from slot_machine.engines.shape import App

PORT = 80
"""Of the Service: inside of the cluster, the app is `http://NAME`."""
MOVED = 308


def service(app: App) -> Json:
    web: Json = {"appProtocol": "http", "name": pod.PORT, "port": PORT, "protocol": "TCP", "targetPort": pod.PORT}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"labels": names.common(app.name, names.WEB), "name": app.name},
        "spec": {"ports": [web], "selector": names.selector(app, names.WEB), "type": "ClusterIP"},
    }


def leading(app: App) -> list[Json]:
    """What leads `domains` and `redirects` to the Service. Nothing, without `domains`."""
    if not app.daemon.domains:
        return []
    return _routes(app) if pod.settings(app).gateway else _ingresses(app)


def _routes(app: App) -> list[Json]:
    every = {"path": {"type": "PathPrefix", "value": "/"}}
    backend = {"backendRefs": [{"group": "", "kind": "Service", "name": app.name, "port": PORT, "weight": 1}]}
    found = [_route(app, app.name, list(app.daemon.domains), backend | {"matches": [every]})]
    for number, (target, sources) in enumerate(_redirects(app).items(), 1):
        redirect = {"requestRedirect": {"hostname": target, "statusCode": 301}, "type": "RequestRedirect"}
        name = names.named(app.name, "redirect", str(number))
        found.append(_route(app, name, sources, {"filters": [redirect], "matches": [every]}))
    return found


def _route(app: App, name: str, hosts: list[str], rule: Json) -> Json:
    namespace, _, gateway = pod.settings(app).gateway.rpartition("/")
    parent = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": gateway}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"labels": names.common(app.name, names.WEB), "name": name},
        "spec": {
            "hostnames": hosts,
            "parentRefs": [parent | ({"namespace": namespace} if namespace else {})],
            "rules": [rule],
        },
    }


def _ingresses(app: App) -> list[Json]:
    found = [_ingress(app, app.name, list(app.daemon.domains), names.tls_secret(app), {})]
    for number, (target, sources) in enumerate(_redirects(app).items(), 1):
        name = names.named(app.name, "redirect", str(number))
        annotations = {
            "nginx.ingress.kubernetes.io/permanent-redirect": f"https://{target}$request_uri",
            "nginx.ingress.kubernetes.io/permanent-redirect-code": str(MOVED),
        }
        secret = names.named(name, "tls") if pod.settings(app).issuer else names.tls_secret(app)
        found.append(_ingress(app, name, sources, secret, annotations))
    return found


def _ingress(app: App, name: str, hosts: list[str], secret: str, annotations: dict[str, str]) -> Json:
    engine = pod.settings(app)
    if engine.issuer:
        annotations = annotations | {"cert-manager.io/cluster-issuer": engine.issuer}
    backend = {"service": {"name": app.name, "port": {"name": pod.PORT}}}
    path = {"backend": backend, "path": "/", "pathType": "Prefix"}
    spec: Json = {"rules": [{"host": host, "http": {"paths": [path]}} for host in hosts]}
    if engine.ingress_class:
        spec["ingressClassName"] = engine.ingress_class
    if engine.issuer or isinstance(app.daemon.tls, OwnCertificate):
        spec["tls"] = [{"hosts": hosts, "secretName": secret}]
    metadata: Json = {"labels": names.common(app.name, names.WEB), "name": name}
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec}


def _redirects(app: App) -> dict[str, list[str]]:
    """By the name that they lead to, because a route has one target."""
    found: dict[str, list[str]] = {}
    for source, target in app.daemon.redirects.items():
        found.setdefault(target, []).append(source)
    return {target: sorted(sources) for target, sources in sorted(found.items())}
