"""What `status` needs of the configuration. It must answer fast, so this module imports nothing."""

FILE_NAME = "slot-machine.json"
DATA_NAME = ".slot-machine"
API_PORT = 9100
LARGEST_PORT = 65535

KEEPS_ENVIRONMENT = (
    "env_file has changed since the app was started, and the app keeps its environment; use `slot-machine restart`"
)
"""What a reload says, and can't change."""

APP_VARIABLE = "SLOT_MACHINE_APP"
"""The app that commands are about, as the option `-a` names it."""
HOST_VARIABLE = "SLOT_MACHINE_HOST"
"""The server on which commands run, as the option `--host` names it."""
APP_FIELD = "Slot-Machine-App"
"""Field of a request to the API: JSON that says which app is meant."""

ATTEMPT_VARIABLE = "SLOT_MACHINE_ATTEMPT"
"""Has the id of the attempt, in the environment of its setup, build and release commands and of its hooks."""
