"""What is wrong with a Parquet, npz or IDX file is said, with file, row and column."""

from __future__ import annotations

import gzip
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exprun.common.errors import UsageError
from exprun.data import tabular
from exprun.data.idx import idx
from tests.data.bad_files import said, ubyte


def test_what_is_wrong_with_a_parquet_file_is_said(tmp_path):
    path = tmp_path / "d.parquet"
    path.write_bytes(b"a,y\n1,2\n")
    assert said(tabular.parquet, path, "y") == ("FILE: is not a Parquet file; expected data=csv")
    path.write_bytes(b"PAR1nonsense")
    assert said(tabular.parquet, path, "y").startswith("FILE: is a damaged Parquet file: ")

    def write(**columns: Any) -> None:
        pq.write_table(pa.table(columns), path)

    write(a=pa.array([], pa.float64()), y=pa.array([], pa.string()))
    assert said(tabular.parquet, path, "y") == "FILE: there are no rows"
    write(a=[[1], [2]], y=["u", "v"])
    assert said(tabular.parquet, path, "y") == (
        "FILE: column 'a' has values of type list<element: int64>; expected numbers, text, "
        "booleans or dates, or 'data.drop=[a]'"
    )
    write(a=[1.0, float("inf")], y=["u", "v"])
    assert said(tabular.parquet, path, "y") == "FILE: row 2, column 'a': inf is not finite"
    write(a=["1", "x"], y=["u", "v"])
    assert said(tabular.parquet, path, "y", numeric=["a"]) == (
        "FILE: row 2, column 'a': 'x' is not a number"
    )
    write(a=[1, 2], y=["u", None])
    assert said(tabular.parquet, path, "y") == (
        "FILE: row 2: the target 'y' is missing; expected a value in every row"
    )


def test_a_file_of_another_format_is_told_by_its_first_bytes(tmp_path):
    table = pa.table({"a": [1, 2], "y": ["u", "v"]})
    pq.write_table(table, tmp_path / "parquet")
    with (tmp_path / "npz").open("wb") as file:
        np.savez(file, a=[1, 2], y=["u", "v"])
    (tmp_path / "csv").write_bytes("ä,y\n1,u\n2,v\n".encode())
    (tmp_path / "idx").write_bytes(ubyte(2, 3, 3))
    readers = {"csv": tabular.csv, "npz": tabular.npz, "parquet": tabular.parquet}
    for given in ("csv", "idx", "npz", "parquet"):
        for option, read in readers.items():
            if option != given:
                assert said(read, tmp_path / given, "y").endswith(f"; expected data={given}")
    np.save(tmp_path / "one.npy", np.array([{}, {}], dtype=object))
    (tmp_path / "noise").write_bytes(b"\x01\x00\x07")
    for name in ("one.npy", "noise"):
        assert said(tabular.npz, tmp_path / name, "y") == "FILE: is not an .npz file"
        assert said(tabular.parquet, tmp_path / name, "y") == "FILE: is not a Parquet file"


def test_what_is_wrong_with_an_npz_file_is_said(tmp_path):
    path = tmp_path / "d.npz"
    path.write_bytes(b"PK\x03\x04nonsense")
    assert said(tabular.npz, path, "y").startswith("FILE: is not an .npz file, or is damaged: ")

    def write(**arrays: Any) -> None:
        np.savez(path, **arrays)

    write(x=np.array([{}, {}], dtype=object), y=[0, 1])
    assert said(tabular.npz, path, "y") == (
        "FILE: has pickled objects; expected plain arrays of numbers or text"
    )
    write(x=np.zeros((3, 2)), y=[0, 1])
    assert said(tabular.npz, path, "y") == (
        "FILE: the arrays differ in their rows: 'x' has 3, 'y' has 2"
    )
    write(x=np.zeros((2, 2)), y=1)
    assert said(tabular.npz, path, "y") == "FILE: 'y' is a single value; expected an array"
    write(x=np.zeros(2, dtype=complex), y=[0, 1])
    assert said(tabular.npz, path, "y") == (
        "FILE: 'x' is an array of complex128; expected numbers, text or dates"
    )
    write()
    assert said(tabular.npz, path, "y") == "FILE: there is no array in it"
    write(x=np.zeros((0, 2)), y=np.zeros(0))
    assert said(tabular.npz, path, "y") == "FILE: there are no rows"
    write(x=np.array([[1.0], [np.inf]]), y=[0, 1])
    assert said(tabular.npz, path, "y") == "FILE: row 2, column 'x_0': inf is not finite"
    write(x=np.array(["u", "v"]), y=[0, 1])
    assert said(tabular.npz, path, "y", numeric=["x"]) == (
        "FILE: row 1, column 'x': 'u' is not a number"
    )
    write(x=np.zeros((2, 1)), y=np.zeros((2, 2)))
    assert said(tabular.npz, path, "y") == (
        "FILE: there is no column 'y', which data.target names; the array 'y' has several columns, "
        "expected one of y_0, y_1, … (columns: x_0, y_0, y_1)"
    )


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


PICTURES, TWO = ubyte(2, 3, 3), ubyte(2, values=b"\x00\x01")


IDX: dict[str, tuple[dict[str, bytes], str]] = {
    "no images": ({LABELS: TWO}, "FOLDER: there is no train-images-… file; expected MNIST's names"),
    "no labels": (
        {IMAGES: PICTURES},
        "FOLDER: there is no train-labels-… file; expected MNIST's names",
    ),
    "several": (
        {IMAGES: PICTURES, f"emnist-{IMAGES}": PICTURES, LABELS: TWO},
        f"FOLDER: there are several train-images-… files: emnist-{IMAGES}, {IMAGES}",
    ),
    "no IDX file": ({IMAGES: b"P5 28 28", LABELS: TWO}, f"FOLDER/{IMAGES}: is not an IDX file"),
    "empty": ({IMAGES: b"", LABELS: TWO}, f"FOLDER/{IMAGES}: is not an IDX file"),
    "floats": (
        {IMAGES: ubyte(2, 3, 3, kind=0x0D), LABELS: TWO},
        f"FOLDER/{IMAGES}: has numbers of IDX type 0x0d; expected unsigned bytes",
    ),
    "cut off in its head": (
        {IMAGES: PICTURES[:9], LABELS: TWO},
        f"FOLDER/{IMAGES}: is cut off in its head",
    ),
    "cut off": (
        {IMAGES: PICTURES[:-5], LABELS: TWO},
        f"FOLDER/{IMAGES}: has 13 numbers; its head says 18",
    ),
    "too long": (
        {IMAGES: PICTURES + b"more", LABELS: TWO},
        f"FOLDER/{IMAGES}: has more numbers; its head says 18",
    ),
    "head of a giant": (
        {IMAGES: ubyte(2**31, 2**31, 9, values=b"."), LABELS: TWO},
        f"FOLDER/{IMAGES}: is cut off: expected {2**62 * 9} numbers",
    ),
    "gzip cut off": (
        {f"{IMAGES}.gz": gzip.compress(PICTURES)[:-9], LABELS: TWO},
        f"FOLDER/{IMAGES}.gz: cannot be read: Compressed file ended before the end-of-stream "
        "marker was reached",
    ),
    "labels for images": (
        {IMAGES: TWO, LABELS: TWO},
        f"FOLDER/{IMAGES}: has 1 dimension(s); expected images",
    ),
    "fewer labels": (
        {IMAGES: ubyte(3, 3, 3), LABELS: TWO},
        f"FOLDER/{LABELS}: has labels of shape (2,) for 3 images",
    ),
    "one label": (
        {IMAGES: PICTURES, LABELS: ubyte(2)},
        "FOLDER: all training images have the label 0",
    ),
    "test images of another size": (
        {
            IMAGES: PICTURES,
            LABELS: TWO,
            "t10k-images-idx3-ubyte": ubyte(2, 4, 4),
            "t10k-labels-idx1-ubyte": TWO,
        },
        "FOLDER: the test images have another size than the others",
    ),
    "unknown label in the test images": (
        {
            IMAGES: PICTURES,
            LABELS: TWO,
            "t10k-images-idx3-ubyte": PICTURES,
            "t10k-labels-idx1-ubyte": ubyte(2, values=b"\x00\x07"),
        },
        "FOLDER: a test image has the label 7, which no image for training has; expected 0 or 1",
    ),
}


@pytest.mark.parametrize("name", IDX)
def test_what_is_wrong_with_a_folder_of_images_is_said(tmp_path, name):
    files, message = IDX[name]
    for file, content in files.items():
        (tmp_path / file).write_bytes(content)
    with pytest.raises(UsageError) as caught:
        idx(str(tmp_path))
    assert str(caught.value).replace(str(tmp_path), "FOLDER") == message


def test_images_are_in_a_folder(tmp_path):
    assert said(idx, tmp_path / "no") == (
        "FILE: is no folder; expected one with train-images-idx3-ubyte[.gz]"
    )
