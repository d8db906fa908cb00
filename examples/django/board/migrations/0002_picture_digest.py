"""The version before this one does not know the column, and can go on while both run."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("board", "0001_initial")]
    operations = [
        migrations.AddField(
            "picture", "digest", models.CharField(max_length=64, blank=True, default="", db_default="")
        ),
    ]
