"""Whether an installed version is one that the project asks for."""

import re

from slot_machine.detect.machine import Machine, Numbers, numbers, shown

TERM = re.compile(r"(>=|<=|~=|~>|==|!=|>|<|=|\^|~)?\s*v?(\d+(?:\.\d+|\.[xX*])*)")


def fits(version: Numbers, wanted: str) -> bool:
    """Understands the ranges of npm, pip and Bundler, as far as they are made of numbers. True where it can't tell."""
    return any(_fits_all(version, each) for each in wanted.split("||"))


def mismatch(machine: Machine, program: str, wanted: str, file: str) -> str:
    """A line for the user, empty if the machine has what is asked for."""
    if not machine.has(program):
        return f"{program} is not installed on this machine, and {file} asks for it"
    version = machine.version(program)
    if not wanted or not version or fits(version, wanted):
        return ""
    return f"{file} asks for {program} {wanted}, and this machine has {shown(version)}: install the one it asks for"


def _fits_all(version: Numbers, wanted: str) -> bool:
    if " - " in wanted:
        first, last = wanted.split(" - ", 1)
        return _fits_all(version, f">={first.strip()}") and _fits_all(version, f"<={last.strip()}")
    return all(_fits_one(version, sign, number) for sign, number in TERM.findall(wanted))


def _fits_one(version: Numbers, sign: str, number: str) -> bool:
    parts = numbers(re.sub(r"\.[xX*].*", "", number))
    same = version[: len(parts)]
    padded = (*version, 0, 0, 0)[: len(parts)]
    match sign:
        case ">=":
            return padded >= parts
        case ">":
            return padded > parts
        case "<":
            return padded < parts
        case "<=":
            return padded <= parts
        case "!=":
            return same != parts
        case "^":
            return padded >= parts and version[0] == parts[0]
        case "~" | "~>" | "~=":
            kept = min(len(parts), 2) if sign == "~" else max(1, len(parts) - 1)
            return padded >= parts and version[:kept] == parts[:kept]
        case _:
            return same == parts
