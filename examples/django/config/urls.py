from board import views
from django.urls import path

urlpatterns = [
    path("", views.pictures),
    path("upload", views.upload),
    path("media/<path:name>", views.media),
    path("healthz", views.healthy),
]
