"""Clips that people move by hand, and clips that stand still because somebody asked for less motion."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("playwright", reason="no Playwright here: pip install playwright")

from playwright.sync_api import expect

from plaudit.server.services import Services

from . import seed, seed_team
from .browser import Site, until
from .conftest import site_of

pytestmark = [pytest.mark.usefixtures("quiet"), pytest.mark.xdist_group("browser")]

# Whether the canvas of the run's page shows this frame of the strip, to the pixel; each frame is another picture.
SHOWS = """async (number) => {
  const { clip } = await (await fetch("/api/run")).json();
  const picture = new Image();
  picture.src = clip.src;
  await picture.decode();
  const { width, height, columns } = clip;
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  const [left, top] = [(number % columns) * width, Math.floor(number / columns) * height];
  pen.drawImage(picture, left, top, width, height, 0, 0, width, height);
  const film = document.getElementById("film");
  if (film.width !== width || film.height !== height) return false;
  const [wanted, shown] = [pen, film.getContext("2d")].map((each) => each.getImageData(0, 0, width, height).data);
  return wanted.every((value, place) => value === shown[place]);
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    def fill(served: Services) -> str:
        seed.ask(served, "comparison", 4, "clips")
        return seed.person(served)

    folder = tmp_path_factory.mktemp("motion")
    with site_of(folder, fill, run=seed_team.run(folder / "run")) as found:
        yield found


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_dragging_the_frame_slider_moves_the_counter_and_what_is_announced(site: Site, motion: str) -> None:
    with site.page(reduced_motion=motion) as page:
        site.work(page, "clips")
        slider, counter = page.get_by_role("slider", name="Frame"), page.locator(".counter")
        box = slider.bounding_box()
        assert box is not None
        middle = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + 3, middle)
        page.mouse.down()
        seen = set()
        for share in (0.25, 0.5, 0.75):
            page.mouse.move(box["x"] + share * box["width"], middle, steps=3)
            frame = int(slider.input_value())
            expect(counter).to_have_text(f"{frame + 1}/25")
            expect(slider).to_have_attribute("aria-valuetext", f"frame {frame + 1} of 25")
            seen.add(frame)
        page.mouse.up()
        assert len(seen) == 3 and 0 not in seen
        expect(page.get_by_role("button", name="Play")).to_be_visible()  # it stays where it was put
        page.wait_for_timeout(200)
        expect(counter).to_have_text(f"{max(seen) + 1}/25")


def test_with_less_motion_the_clip_of_a_run_shows_its_first_frame(site: Site) -> None:
    with site.page(reduced_motion="reduce") as page:
        page.goto(f"{site.url}/run")
        expect(page.get_by_role("button", name="Pause")).to_have_attribute("aria-pressed", "true")
        until(page, "() => document.getElementById('film').width > 1")
        assert page.evaluate(SHOWS, 0)
        page.wait_for_timeout(300)
        assert page.evaluate(SHOWS, 0) and not page.evaluate(SHOWS, 1)
        page.get_by_role("button", name="Pause").click()
        until(page, f"async () => !(await ({SHOWS})(0))")
