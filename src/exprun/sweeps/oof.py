"""``oof.parquet`` of a sweep: the predictions of all rows by the models trained without them."""

from __future__ import annotations

import io
from pathlib import Path

from exprun.record.files import write_atomic
from exprun.record.oof import OOF, ROW
from exprun.sweeps.results import FOLD, REPETITION, Results


def write_oof(folder: Path, results: Results) -> int:
    """Write ``folder/oof.parquet`` from those of the jobs that ended well and have one; returns the
    number of its rows, 0 if there is nothing to write.

    To the columns of a job's file come ``configuration``, its name, and the keys of repetitions
    that vary. The rows are sorted by configuration, then by repetition but for the fold, then by
    ``row``.
    """
    jobs = [
        job
        for job in results.jobs
        if job.sweep == folder and job.ended_well and (job.folder / OOF).is_file()
    ]
    if not jobs:
        return 0
    import pyarrow as pa
    from pyarrow import parquet

    place = {one.name: k for k, one in enumerate(results.configurations)}
    names = {id(job): one.name for one in results.configurations for job in one.jobs}
    varying = [(k, key) for k, key in enumerate(REPETITION) if key in results.repetition]
    others = [(k, key) for k, key in varying if key != FOLD]
    parts: dict[tuple[int, tuple[str, ...]], list[pa.Table]] = {}
    for job in jobs:
        table = parquet.read_table(job.folder / OOF, partitioning=None)  # = in folders is none
        for k, key in reversed(varying):
            value = job.block[k]
            column = pa.array([int(value) if value.isdigit() else value] * len(table))
            table = table.add_column(0, key, column)
        name = names[id(job)]
        table = table.add_column(0, "configuration", pa.array([name] * len(table)))
        block = tuple(job.block[k] for k, _ in others)
        parts.setdefault((place[name], block), []).append(table)
    tables = [
        pa.concat_tables(parts[which], promote_options="permissive").sort_by(ROW)
        for which in sorted(parts)
    ]
    whole = pa.concat_tables(tables, promote_options="permissive")
    content = io.BytesIO()
    parquet.write_table(whole, content)
    write_atomic(folder / OOF, content.getvalue())
    return len(whole)
