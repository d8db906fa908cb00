"""What `status` needs of the configuration. It must answer fast, so this module imports nothing."""

FILE_NAME = "slot-machine.json"
DATA_NAME = ".slot-machine"
API_PORT = 9100
LARGEST_PORT = 65535
