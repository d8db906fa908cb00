"""The worker: computes the digest of each new picture. It ends after the picture at hand when it gets SIGTERM."""

import hashlib
import signal
import threading

from django.core.management.base import BaseCommand

from board.models import Picture

PAUSE_S = 0.5


class Command(BaseCommand):
    def handle(self, **_options: object) -> None:
        ended = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: ended.set())
        while not ended.is_set():
            for picture in Picture.objects.filter(digest="")[:10]:
                if ended.is_set():
                    break
                with picture.file.open() as file:
                    picture.digest = hashlib.file_digest(file, "sha256").hexdigest()
                picture.save(update_fields=["digest"])
                self.stdout.write(f"picture {picture.id}: {picture.digest}")
            ended.wait(PAUSE_S)
