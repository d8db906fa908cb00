"""What the lab promises to the other tests."""

import subprocess

from tests.swarm import images
from tests.swarm.lab import REGISTRY, Lab, run


def test_a_user_reaches_each_node_by_ssh(lab: Lab) -> None:
    for node in lab.nodes:
        assert run("ssh", node.name, "hostname") == node.name
        assert run("docker", "--context", node.name, "info", "--format", "{{.Name}}") == node.name


def test_what_is_pushed_can_be_pulled_on_another_node(lab: Lab) -> None:
    image = f"{REGISTRY}/base:pushed"
    lab.manager.docker("tag", images.BASE, image)
    lab.manager.docker("push", "--quiet", image)
    lab.nodes[1].docker("pull", "--quiet", image)


def test_a_node_that_was_cut_off_comes_back(lab: Lab) -> None:
    far = lab.nodes[1]
    far.cut()
    try:
        lab.until("it is missed", lambda: lab.states()[far.name] == "Down")
    finally:
        far.mend()
    lab.until("it is back", lambda: lab.states()[far.name] == "Ready")


def test_nothing_outside_is_reached(lab: Lab) -> None:
    for argv in (["ip", "route"], lab.nodes[1].enter("ip", "route")):
        assert "default" not in subprocess.run(argv, capture_output=True, text=True, check=True).stdout
