"""Pictures: data in, a matplotlib figure out. No pyplot, no global state, no files."""

from segcli.plots.components import explained_variance
from segcli.plots.confusion import confusion_matrix
from segcli.plots.curves import inertia
from segcli.plots.evidence import k_evidence
from segcli.plots.figure import png
from segcli.plots.sizes import segment_sizes

__all__ = [
    "confusion_matrix",
    "explained_variance",
    "inertia",
    "k_evidence",
    "png",
    "segment_sizes",
]
