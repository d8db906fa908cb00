from django.db import models


class Picture(models.Model):
    """A file that somebody sent. The worker fills in its digest."""

    file = models.FileField(upload_to="pictures")
    sent = models.DateTimeField(auto_now_add=True)
    digest = models.CharField(max_length=64, blank=True, default="", db_default="")
