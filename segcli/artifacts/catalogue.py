"""Every artifact of the run directory, by the stage that writes it.

The same list stands in the README as the run directory's contract.
"""

from __future__ import annotations

from segcli.artifacts.formats import (
    Arrays,
    Artifact,
    Json,
    Model,
    Picture,
    SegmentTable,
    SparseMatrix,
    Table,
    Text,
)

# ingest
MATRIX = Artifact("matrix.npz", "ingest", SparseMatrix())
CUSTOMERS = Artifact("customers.csv", "ingest", Table(text=("customer",)))
ITEMS = Artifact("items.csv", "ingest", Table(text=("item", "name")))
REJECTS = Artifact("rejects.csv", "ingest", Table(text=("file", "reason", "text")))

# explore-pca
PCA_MODEL = Artifact(
    "pca.joblib",
    "explore-pca",
    Model(("segcli.numerics.pca.PCA", "segcli.numerics.weighting.Weighting")),
)
EXPLAINED_VARIANCE = Artifact("explained_variance.csv", "explore-pca", Table())
EXPLAINED_VARIANCE_PLOT = Artifact("explained_variance.png", "explore-pca", Picture())
COMPONENTS = Artifact(
    "components.csv",
    "explore-pca",
    Table(text=tuple(f"{end}_{i}" for end in ("positive", "negative") for i in range(1, 6))),
)
COMPONENTS_VERDICT = Artifact("components_verdict.json", "explore-pca", Json())

# explore-k
K_SCORES = Artifact("k_scores.csv", "explore-k", Table())
K_VERDICT = Artifact("k_verdict.json", "explore-k", Json())
K_EVIDENCE_PLOT = Artifact("k_evidence.png", "explore-k", Picture())
INERTIA_PLOT = Artifact("inertia.png", "explore-k", Picture())

# cluster
SEGMENTATION = Artifact(
    "segmentation.joblib",
    "cluster",
    Model(
        (
            "segcli.numerics.segmentation.Segmentation",
            "segcli.numerics.pca.PCA",
            "segcli.numerics.weighting.Weighting",
        )
    ),
)
PROJECTED = Artifact("projected.npz", "cluster", Arrays())
SEGMENTS = Artifact("segments.csv", "cluster", SegmentTable(text=("customer", "segment")))
CLUSTERING = Artifact("clustering.json", "cluster", Json())

# validate
VALIDATION = Artifact("validation.json", "validate", Json())
CONFUSION_MATRIX = Artifact("confusion_matrix.csv", "validate", Table(text=("evaluation",)))
CONFUSION_PLOT = Artifact("confusion_matrix.png", "validate", Picture())

# report
REPORT_PAGE = Artifact("report.html", "report", Text())
REPORT_TEXT = Artifact("report.txt", "report", Text())
TOP_ITEMS = Artifact("top_items.csv", "report", Table(text=("item", "name")))
CHARACTERISTIC_ITEMS = Artifact(
    "characteristic_items.csv", "report", Table(text=("kind", "item", "name"))
)
TYPICAL_CUSTOMERS = Artifact("typical_customers.csv", "report", Table(text=("customer",)))
SEGMENT_SUMMARY = Artifact(
    "segment_summary.csv", "report", Table(text=("grade", "name", "marked_by"))
)
NAMED_SEGMENTS = Artifact(
    "named_segments.csv", "report", SegmentTable(text=("customer", "segment", "name"))
)
SEGMENT_MOVES = Artifact(
    "segment_moves.csv", "report", Table(text=("earlier_segment", "earlier_name"))
)
SEGMENT_SIZES_PLOT = Artifact("segment_sizes.png", "report", Picture())

# label, which takes the place of the stages after ingest where the segments are another run's
LABELLING = "label"
LABELS = Artifact(
    "labels.csv", LABELLING, SegmentTable(text=("customer", "segment", "name", "earlier_segment"))
)

STAGES = ("ingest", "explore-pca", "explore-k", "cluster", "validate", "report")
"""The pipeline, in its order."""
