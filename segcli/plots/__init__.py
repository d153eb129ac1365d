"""Pictures: data in, a matplotlib figure out. No pyplot, no files.

A stage begins a picture with :func:`draw` as soon as its data are known, and takes its bytes at the end.
"""

from segcli.plots.components import explained_variance
from segcli.plots.confusion import confusion_matrix
from segcli.plots.curves import inertia
from segcli.plots.drawing import Drawing, draw, drawing_beside
from segcli.plots.evidence import k_evidence
from segcli.plots.figure import png
from segcli.plots.sizes import segment_sizes

__all__ = [
    "Drawing",
    "confusion_matrix",
    "draw",
    "drawing_beside",
    "explained_variance",
    "inertia",
    "k_evidence",
    "png",
    "segment_sizes",
]
