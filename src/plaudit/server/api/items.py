"""Items as media: a clip's film strip."""

from __future__ import annotations

from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request, Response

from plaudit.server.faults import Forbidden, document_faults
from plaudit.server.identity import AppServices, Consented, Services
from plaudit.server.keyed_ids import reveal_id
from plaudit.server.media import Film
from plaudit.server.tickets import verify
from plaudit.types import PlauditError, Segment

router = APIRouter(prefix="/items", tags=["items"])

CACHE_CONTROL = "private, max-age=31536000, immutable"  # an item never changes: its id follows from its hash


@router.get(
    "/{item}/film.webp",
    response_class=Response,
    responses={
        **document_faults(401, 404),
        200: {
            "description": "All frames of the clip, in a grid whose layout came with the assignment",
            "content": {"image/webp": {}, "image/png": {}},
        },
        304: {"description": "As the browser has it"},
    },
)
async def film(
    item: str,
    request: Request,
    person: Consented,
    services: AppServices,
    project: Annotated[str, Query(max_length=200)],
    key: Annotated[str, Query(max_length=64)] = "",
    v: Annotated[str, Query(max_length=16)] = "",
) -> Response:
    """The clip, for the annotator who was assigned it (``key`` comes with the assignment, and ``item`` is the
    annotator's own id of it), and for reviewers and admins by its stored id.

    ``v`` is the version of the drawing, so that the address changes when drawing changes.
    """
    stored_id = reveal_id(services.secret, person.name, "item", item)
    if verify(services.secret, key, "clip", person.name, project, stored_id):
        item = stored_id
    elif "read" not in person.scopes and not verify(services.secret, key, "film", person.name, project, item):
        raise Forbidden("this clip was not given to you: load the page again")
    strip = await run_sync(_film, services, project, item, limiter=services.drawing)
    headers = {"ETag": f'"{strip.etag}"', "Cache-Control": CACHE_CONTROL}
    if f'"{strip.etag}"' in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(strip.data, media_type=strip.type, headers=headers)


def _film(services: Services, project: str, item: str) -> Film:
    services.projects.get(project)

    def load() -> Segment:
        segment = services.items.get(services.store, [item])[item]
        if not isinstance(segment, Segment):
            raise PlauditError(f"item {item[:64]} is text: it has no film")
        return segment

    return services.films.get(item, services.projects.scene(project), load)
