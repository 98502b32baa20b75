"""Completing pictures on a Ray cluster, by Ray Data: any number of them, from folders and buckets.

import edgefill.ray
rows = edgefill.ray.complete("s3://photos/scans", "s3://photos/completed", model="photos", workers=16)
failed = [row for row in rows.iter_rows() if row["error"]]
"""

from __future__ import annotations

import os

# Read when a cluster is begun from here; one that runs already has its own settings.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

from edgefill.ray.run import complete

__all__ = ["complete"]
