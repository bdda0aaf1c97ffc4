"""What people see of a planned series: images, labelled arrays and the facts of the command line, without a server."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from mutations import MARK

from dicomzarr.arrays.image import Image
from dicomzarr.faces.cli.connection import Target
from dicomzarr.faces.cli.facts import series_facts
from dicomzarr.options import StorageOptions
from dicomzarr.sources.dicomweb.urls import DICOMwebURL

if TYPE_CHECKING:
    from dicomzarr.plan import SeriesPlan

_MOST_IMAGES: Final = 3


@dataclass(frozen=True)
class _Handle:
    """Stands for a series that was opened."""

    url: DICOMwebURL
    plan: SeriesPlan
    options: StorageOptions

    def store(self) -> Any:
        """All that is asked of it here is the plan."""
        return SimpleNamespace(plan=self.plan)


def show(plan: SeriesPlan, study: str, series: str) -> None:
    """Look at a series in every way that reads no frame."""
    url = DICOMwebURL("dicomweb", "http://localhost/dicom-web", study, series)
    handle: Any = _Handle(url, plan, StorageOptions())
    images = Image(handle, plan.image_paths[0]).images
    for image in images[:_MOST_IMAGES]:
        check_said(repr(image))
        tree = image.to_xarray()
        check_said(repr(tree))
        check_said(repr([(node.attrs, dict(node.coords)) for node in tree.subtree]))
    facts = series_facts(images[0], Target(url, {}))
    check_said(json.dumps(asdict(facts), allow_nan=False))


def check_said(text: str) -> None:
    """Whether nothing of the patient's text is in what is shown."""
    for word in MARK.split("^"):
        assert word.lower() not in text.lower(), f"it says {word}: {text[:1000]}"
