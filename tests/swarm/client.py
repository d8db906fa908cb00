"""A deploy in a process of its own, which can be killed: `python -m tests.swarm.client JSON`. Prints its lines."""

import json
import sys
from typing import cast

from slot_machine.core.origin import Description
from tests.swarm.by_flow import Shop
from tests.swarm.lab import Lab


def main(given: str) -> None:
    fields, version, wanted = json.loads(given)
    shop = Shop(cast(Lab, None), "shop")
    shop.fields, shop.version = fields, version
    for line in shop.flow().deploy(shop.app(wanted), Description()):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
