"""64 tiles through zarr alone, which asks chunk by chunk, 50 ms away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from measuring import Contestant, Results, Target, take_turns, timed
from readers import Region, contestant, limit, parts
from slide_server import TILE, Contents, served

if TYPE_CHECKING:
    from measuring import Take
    from settings import Settings

_MILLISECONDS = 50.0
_MANY = 128
_OPENED, _ALL = "zarr.open_group(url)[...] opened before", 'zarr.open_group(url)["0"][...]'


def measure_zarr(settings: Settings) -> Results:
    """Targets 4."""
    results = Results()
    tiles = settings.size(8, 3)
    task = f"{tiles * tiles} tiles through zarr"
    whole = [[Region(0, 0, tiles * TILE, tiles * TILE)]]
    with served(Contents(tiles=tiles, milliseconds=_MILLISECONDS)) as server:
        url = server.url
        contestants = [limit(tiles, _MILLISECONDS, whole, "cyx", url), contestant("dicomzarr", "dicomzarr", url, whole)]
        for concurrency in (None, _MANY):
            among = f", concurrency={concurrency}" if concurrency else ""
            for name, opened in ((_ALL, False), (_OPENED, True)):
                options = {"concurrency": concurrency, "opened": opened}
                contestants.append(contestant(f"{name}{among}", "zarr of ours", url, whole, **options))
        try:
            contestants.append(_napari_wsi(url))
        except ImportError:
            results.note("napari-wsi took no part: it is not installed here")
        results.rows += take_turns(task, _MILLISECONDS, contestants, settings.rounds, server)
    rows = results.of(task, _MILLISECONDS)
    for name, wanted in ((_ALL, 9), (f"{_ALL}, concurrency={_MANY}", 3)):
        round_trips = rows[name].seconds * 1000 / _MILLISECONDS
        text = f"{name} at {_MILLISECONDS:g} ms: as long as so many round trips"
        results.targets.append(Target(text, round_trips, wanted, at_least=False))
    return results


def _napari_wsi(url: str) -> Contestant:
    from dicomweb_client.web import DICOMwebClient  # noqa: PLC0415  # a peer's
    from napari_wsi.backends.wsidicom import WSIDicomStore  # noqa: PLC0415  # a peer, not everywhere
    from wsidicom import WsiDicomWebClient  # noqa: PLC0415  # a peer's

    base, study, series = parts(url)

    def take() -> Take:
        client = WsiDicomWebClient(DICOMwebClient(base))
        store = WSIDicomStore(client=client, study_uid=study, series_uids=series)
        ((levels, *_),) = store.to_layer_data_tuples()  # its face: dask arrays over zarr ones
        try:
            return timed(lambda: [levels[0].compute()])
        finally:
            store.close()

    return Contestant("napari-wsi", take, most_rounds=2)
