#!/usr/bin/env bash
# onnxruntime 1.18.0 and 1.20.1 refuse a valid model whose nodes have no names, at their default level of optimisation.
#
# Guess before the run: names of nodes are optional in ONNX and for people only; what onnx.checker passes in full, every
# runtime of its opset loads, and whether a fusion applies does not depend on them.
# Seen: two inputs, of which each is taken apart into its columns by Gather (opset 17), and joined again. With names
# both versions run it. Without, both end with "two nodes with same node name (/GatherSliceToSplitFusion/)", for the fusion
# names its node after the ones that it replaces; with ORT_DISABLE_ALL they run it. 1.23.0 and 1.27.0 run all four.
# A single such input is no problem, so a small test does not tell.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/columns.py" <<'PY'
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper


def model(tables, named):
    """Takes tables of two columns apart and joins the columns in the opposite order."""
    nodes, constants, columns = [], [], []
    for table in tables:
        for place in (0, 1):
            constants.append(numpy_helper.from_array(np.array([place]), f"place_{len(constants)}"))
            columns.append(f"column_{len(columns)}")
            names = {"name": columns[-1]} if named else {}
            nodes.append(helper.make_node("Gather", [table, constants[-1].name], columns[-1:], axis=1, **names))
    nodes.append(helper.make_node("Concat", columns[::-1], ["y"], axis=1))
    shape = [(name, ["rows", width]) for name, width in [*((t, 2) for t in tables), ("y", len(columns))]]
    *inputs, output = (helper.make_tensor_value_info(name, TensorProto.DOUBLE, s) for name, s in shape)
    graph = helper.make_graph(nodes, "columns", inputs, [output], constants)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(proto, full_check=True)
    return proto.SerializeToString()


def runs(tables, named, level):
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    rows = {name: np.array([[2.0 * k + 1, 2.0 * k + 2]]) for k, name in enumerate(tables)}
    try:
        session = ort.InferenceSession(model(tables, named), options, providers=["CPUExecutionProvider"])
        (y,) = session.run(None, rows)
    except Exception as error:
        print(f"{ort.__version__} {tables} named={named} {level}: {str(error)[:130]}")
        return False
    assert y.tolist() == [[*range(2 * len(tables), 0, -1)]]
    print(f"{ort.__version__} {tables} named={named} {level}: runs")
    return True


old = sys.argv[1] == "refuses"
assert runs("ab", True, "ORT_ENABLE_ALL")
assert runs("ab", False, "ORT_DISABLE_ALL")
assert runs("a", False, "ORT_ENABLE_ALL")
assert runs("ab", False, "ORT_ENABLE_ALL") != old
PY
for pair in 1.18.0:refuses 1.20.1:refuses 1.23.0:runs 1.27.0:runs; do
  python3 -m venv "$folder/${pair%:*}"
  "$folder/${pair%:*}/bin/pip" install --quiet --disable-pip-version-check onnxruntime=="${pair%:*}" onnx==1.17.0 numpy==1.26.4
  "$folder/${pair%:*}/bin/python" "$folder/columns.py" "${pair#*:}"
done
echo "as described"
