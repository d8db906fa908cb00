import os

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from django.views.static import serve

from board.models import Picture


def healthy(_request: HttpRequest) -> HttpResponse:
    Picture.objects.exists()
    return HttpResponse("ok")


def pictures(_request: HttpRequest) -> HttpResponse:
    listed = list(Picture.objects.order_by("id").values("id", "file", "digest"))
    return JsonResponse({"commit": os.environ.get("SLOT_MACHINE_COMMIT", ""), "pictures": listed})


@csrf_exempt
@require_POST
def upload(request: HttpRequest) -> HttpResponse:
    picture = Picture.objects.create(file=request.FILES["file"])
    return JsonResponse({"id": picture.id, "url": f"/media/{picture.file.name}"}, status=201)


def media(request: HttpRequest, name: str) -> HttpResponse:
    return serve(request, name, document_root=settings.MEDIA_ROOT)
