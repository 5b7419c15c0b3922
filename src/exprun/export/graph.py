"""ONNX: build the graph of a network and its preprocessing layer by layer.

Nothing is traced: an MLP has few kinds of layers, so each is translated to operations of opset 17,
and torch's exporter with its extra packages is not needed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from exprun import __version__
from exprun.data.builder import missing_numbers
from exprun.data.columns import Categorical, Datetime, Numeric
from exprun.data.datetimes import PERIODS
from exprun.data.scaling import BOUND, Linear, Quantiles
from exprun.export.inputs import Columns, description, input_order, word_places
from exprun.techniques.networks import MLP, HiddenLayer
from exprun.training.prediction import Model

OPSET, ML_OPSET, IR = 17, 3, 8
"""Versions of 2022 (ONNX 1.12), so that older runtimes can load the file."""


def onnx_model(model: Model) -> bytes:
    """The content of the ONNX file. Its inputs are ``numbers`` and ``words`` (see ``inputs``), each
    only if there are such columns; its outputs are ``label`` (rows,) and ``probabilities`` (rows,
    classes), or ``values`` (rows, targets)."""
    graph = Graph()
    outputs = graph.network(model.network, graph.preprocessing(model))
    if model.preprocessing.task.classes:
        graph.classes(model, outputs)
    else:
        graph.numbers(model, outputs)
    proto = helper.make_model(
        helper.make_graph(graph.nodes, "exprun", graph.inputs, graph.outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)],
        ir_version=IR,
        producer_name="exprun",
        producer_version=__version__,
    )
    helper.set_model_props(proto, {"exprun": json.dumps(description(model))})
    onnx.checker.check_model(proto, full_check=True)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


class Graph:
    """A graph under construction: nodes, constants, inputs and outputs."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def add(self, operation: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Add an operation with one result; returns the result's name."""
        result = name or f"{operation}_{len(self.nodes)}"
        # named, because fusions of onnxruntime 1.18 name their nodes after those that they replace
        self.nodes.append(helper.make_node(operation, inputs, [result], result, **attributes))
        return result

    def constant(self, value: Any, dtype: Any = None) -> str:
        array = (
            value.detach().cpu().numpy() if isinstance(value, Tensor) else np.array(value, dtype)
        )
        name = f"c_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def double(self, value: Any) -> str:
        return self.constant(value, np.float64)

    def cast(self, value: str, kind: int) -> str:
        return self.add("Cast", value, to=kind)

    def column(self, values: str, place: int) -> str:
        """Select a column: (rows, columns) to (rows, 1)."""
        return self.add("Gather", values, self.constant([place], np.int64), axis=1)

    # ---------------------------------------------------------------------- preprocessing

    def preprocessing(self, model: Model) -> str:
        """``Preprocessing.apply`` as a graph; the result is (rows, width) float32."""
        columns = Columns.of(model.preprocessing)
        blocks = []
        if columns.numeric:
            self._input("numbers", TensorProto.DOUBLE, len(columns.numeric))
            gaps = missing_numbers(model.preprocessing.reading.missing)
            blocks += self._numeric(columns.numeric, gaps)
        if columns.categorical:
            self._input("words", TensorProto.STRING, len(columns.categorical))
            missing = model.preprocessing.reading.missing
            blocks += [self._encoded(c, k, missing) for k, c in enumerate(columns.categorical)]
        inputs = self.add("Concat", *blocks, axis=1) if len(blocks) > 1 else blocks[0]
        order = input_order(model.preprocessing)
        if order == sorted(order):
            return inputs
        return self.add("Gather", inputs, self.constant(order, np.int64), axis=1)

    def _input(self, name: str, kind: int, columns: int) -> None:
        self.inputs.append(helper.make_tensor_value_info(name, kind, ["rows", columns]))

    def _numeric(self, columns: tuple[Numeric | Datetime, ...], gaps: Sequence[float]) -> list[str]:
        """(rows, columns) float32, imputed and scaled, and for each period of each date (rows, 1)
        sine and cosine; NaN and the numbers in ``gaps`` are gaps."""
        fills = self.double([column.fill for column in columns])
        missed = self.add("IsNaN", "numbers")
        for number in gaps:
            missed = self.add("Or", missed, self.add("Equal", "numbers", self.double(number)))
        filled = self.add("Where", missed, fills, "numbers")
        linear = [c.scaling if isinstance(c.scaling, Linear) else Linear() for c in columns]
        scaled = self.add("Sub", filled, self.double([scaling.center for scaling in linear]))
        scaled = self.add("Div", scaled, self.double([scaling.scale for scaling in linear]))
        if any(isinstance(column.scaling, Quantiles) for column in columns):
            parts = []
            for place, column in enumerate(columns):
                part = self.column(scaled, place)
                if isinstance(column.scaling, Quantiles):
                    part = self._normal(self._probability(part, column.scaling))
                parts.append(part)
            scaled = self.add("Concat", *parts, axis=1)
        circles = [
            circle
            for place, column in enumerate(columns)
            if isinstance(column, Datetime)
            for circle in self._circles(self.column(filled, place), column.periods)
        ]
        return [self.cast(scaled, TensorProto.FLOAT), *circles]

    def _circles(self, x: str, periods: Sequence[str]) -> Iterator[str]:
        """Yield sine and cosine, (rows, 1) float32, of the phases of times x (rows, 1)."""
        for name in periods:
            turns = self.add("Div", x, self.double(PERIODS[name]))
            phase = self.add("Sub", turns, self.add("Floor", turns))
            angle = self.cast(self.add("Mul", phase, self.double(2 * math.pi)), TensorProto.FLOAT)
            yield self.add("Sin", angle)
            yield self.add("Cos", angle)

    def _probability(self, x: str, scaling: Quantiles) -> str:
        """The probabilities (rows, 1) of values x (rows, 1), as in ``Quantiles.apply``."""
        values = np.array(scaling.values)
        last = len(values) - 1
        if not last:  # a single quantile: compare with it
            above = self.add("GreaterOrEqual", x, self.double(values))
            return self.add("Where", above, self.double(1 - BOUND), self.double(BOUND))
        known = self.double(values)
        sides = [
            self._interpolated(x, values, known, self.add("GreaterOrEqual", x, known)),
            self._interpolated(x, values, known, self.add("Greater", x, known)),
        ]
        middle = self.add("Div", self.add("Add", *sides), self.double(2))
        below = self.add("LessOrEqual", x, self.double(values[0]))
        above = self.add("GreaterOrEqual", x, self.double(values[-1]))
        bounded = self.add("Clip", middle, self.double(BOUND), self.double(1 - BOUND))
        bounded = self.add("Where", below, self.double(BOUND), bounded)
        return self.add("Where", above, self.double(1 - BOUND), bounded)

    def _interpolated(self, x: str, values: NDArray[np.float64], known: str, beyond: str) -> str:
        """The probability interpolated between the last of the ``known`` quantiles that x is
        ``beyond`` (rows, quantiles) and the next one."""
        last = len(values) - 1
        counted = self.add(
            "ReduceSum", self.cast(beyond, TensorProto.INT64), self.constant([1], np.int64)
        )
        one = self.constant(1, np.int64)
        place = self.add("Sub", counted, one)
        place = self.add(
            "Clip", place, self.constant(0, np.int64), self.constant(last - 1, np.int64)
        )
        steps = np.diff(values)
        low = self.add("Gather", known, place)
        step = self.add("Gather", self.double(np.where(steps > 0, steps, 1.0)), place)
        share = self.add("Div", self.add("Sub", x, low), step)
        at = self.add("Add", self.cast(place, TensorProto.DOUBLE), share)
        return self.add("Div", at, self.double(last))

    def _normal(self, p: str) -> str:
        """The quantile function of the normal distribution, by rational functions for the centre
        and the tails; relative error below 1.2e-9 (Acklam 2003)."""
        centered = self.add("Sub", p, self.double(0.5))
        square = self.add("Mul", centered, centered)
        middle = self.add("Mul", self._polynomial(square, MIDDLE[0]), centered)
        middle = self.add("Div", middle, self._polynomial(square, MIDDLE[1]))
        complement = self.add("Sub", self.double(1), p)
        smaller = self.add("Min", p, complement)
        root = self.add("Sqrt", self.add("Mul", self.add("Log", smaller), self.double(-2)))
        tail = self.add("Div", self._polynomial(root, TAIL[0]), self._polynomial(root, TAIL[1]))
        upper = self.add("Greater", centered, self.double(0))
        tail = self.add("Where", upper, self.add("Neg", tail), tail)
        is_tail = self.add("Less", smaller, self.double(TAIL_BELOW))
        return self.add("Where", is_tail, tail, middle)

    def _polynomial(self, x: str, coefficients: tuple[float, ...]) -> str:
        """Evaluate a polynomial; coefficients from the highest power."""
        value = self.double(coefficients[0])
        for coefficient in coefficients[1:]:
            value = self.add("Add", self.add("Mul", value, x), self.double(coefficient))
        return value

    def _encoded(self, column: Categorical, place: int, missing: Sequence[str]) -> str:
        """One-hot (rows, levels), or the numbers of an encoding (rows, inputs), of a column of
        words."""
        places = word_places(column, missing)
        code = self.add(
            "LabelEncoder",
            self.column("words", place),
            domain="ai.onnx.ml",
            keys_strings=list(places),
            values_int64s=list(places.values()),
            default_int64=-1,
        )
        if column.encoding:
            code = self.add("Squeeze", code, self.constant([1], np.int64))
            return self.add("Gather", self.constant(column.encoding.inputs), code)
        each = self.constant([range(column.width)], np.int64)
        return self.cast(self.add("Equal", code, each), TensorProto.FLOAT)

    # ------------------------------------------------------------------------- the network

    def network(self, network: nn.Module, x: str) -> str:
        """The network: inputs (rows, width) to outputs (rows, K), float32."""
        assert isinstance(network, MLP)
        for layer in network.hidden:
            assert isinstance(layer, HiddenLayer)
            x = self._linear(layer.linear, x)
            steps = [self._norm, self._activation]
            for step in steps if layer.norm_position == "pre" else reversed(steps):
                x = step(layer, x)
        return self._linear(network.output, x)

    def _linear(self, layer: nn.Linear, x: str) -> str:
        weight, bias = self.constant(layer.weight), self.constant(layer.bias)
        return self.add("Gemm", x, weight, bias, transB=1)

    def _norm(self, layer: HiddenLayer, x: str) -> str:
        norm: Any = layer.norm
        if isinstance(norm, nn.Identity):
            return x
        units = layer.linear.out_features
        scale = self.constant(np.ones(units, np.float32) if norm.weight is None else norm.weight)
        bias = self.constant(np.zeros(units, np.float32) if norm.bias is None else norm.bias)
        if isinstance(norm, nn.LayerNorm):
            return self.add("LayerNormalization", x, scale, bias, axis=-1, epsilon=norm.eps)
        mean, variance = self.constant(norm.running_mean), self.constant(norm.running_var)
        return self.add("BatchNormalization", x, scale, bias, mean, variance, epsilon=norm.eps)

    def _activation(self, layer: HiddenLayer, x: str) -> str:
        kind = type(layer.activation).__name__
        if kind == "Identity":
            return x
        if kind in COMPOSED:
            return COMPOSED[kind](self, x)
        operation, attributes = SIMPLE[kind]
        return self.add(operation, x, **attributes)

    def single(self, value: float) -> str:
        return self.constant(value, np.float32)

    # ---------------------------------------------------------------------------- outputs

    def classes(self, model: Model, outputs: str) -> None:
        """Add the outputs of a classifier: ``prediction.probabilities`` and the labels."""
        labels = model.preprocessing.task.classes
        z = self.cast(outputs, TensorProto.DOUBLE)
        single = model.network.get_parameter("output.bias").numel() == 1
        if single:
            positive = self.add("Greater", outputs, self.single(0))
            second = self.constant([1], np.int64)
            ids = self.add("Squeeze", self.cast(positive, TensorProto.INT64), second)
            z = self.add("Concat", self.add("Neg", z), z, axis=1)
        else:
            ids = self.add("ArgMax", outputs, axis=1, keepdims=0)
        if model.output_activation == "softmax":
            shares = self.add("Softmax", z, axis=1)
        else:
            if model.output_activation == "sigmoid":
                z = self.add("Sigmoid", z)
            else:
                z = self.add("Max", z, self.double(0))
            total = self.add("ReduceSum", z, self.constant([1], np.int64))
            none = self.add("LessOrEqual", total, self.double(0))
            divided = self.add("Div", z, self.add("Where", none, self.double(1), total))
            shares = self.add("Where", none, self.double(1 / len(labels)), divided)
        self.add("Gather", self.constant(labels, object), ids, name="label")
        self.add("Cast", shares, name="probabilities", to=TensorProto.FLOAT)
        self._output("label", TensorProto.STRING, ["rows"])
        self._output("probabilities", TensorProto.FLOAT, ["rows", len(labels)])

    def numbers(self, model: Model, outputs: str) -> None:
        """Add the output of a regression: numbers in the target's unit."""
        target = model.preprocessing.target
        z = self.cast(outputs, TensorProto.DOUBLE)
        if model.output_activation == "exp":
            z = self.add("Exp", z)
        scaled = self.add("Mul", z, self.double(target.std))
        self.add("Add", scaled, self.double(target.mean), name="values")
        self._output("values", TensorProto.DOUBLE, ["rows", len(target.std)])

    def _output(self, name: str, kind: int, shape: list[Any]) -> None:
        self.outputs.append(helper.make_tensor_value_info(name, kind, shape))


SIMPLE: dict[str, tuple[str, dict[str, Any]]] = {
    "CELU": ("Celu", {"alpha": 1.0}),
    "ELU": ("Elu", {"alpha": 1.0}),
    "Hardswish": ("HardSwish", {}),
    "LeakyReLU": ("LeakyRelu", {"alpha": 0.01}),
    "ReLU": ("Relu", {}),
    "SELU": ("Selu", {}),
    "Sigmoid": ("Sigmoid", {}),
    "Softplus": ("Softplus", {}),
    "Softsign": ("Softsign", {}),
    "Tanh": ("Tanh", {}),
}
"""Activations that map to one ONNX operation, with torch's default arguments."""


def _gelu(graph: Graph, x: str) -> str:
    erf = graph.add("Erf", graph.add("Mul", x, graph.single(1 / math.sqrt(2))))
    half = graph.add("Mul", x, graph.single(0.5))
    return graph.add("Mul", half, graph.add("Add", erf, graph.single(1)))


COMPOSED: dict[str, Callable[[Graph, str], str]] = {
    "GELU": _gelu,
    "Mish": lambda graph, x: graph.add("Mul", x, graph.add("Tanh", graph.add("Softplus", x))),
    "ReLU6": lambda graph, x: graph.add("Clip", x, graph.single(0), graph.single(6)),
    "SiLU": lambda graph, x: graph.add("Mul", x, graph.add("Sigmoid", x)),
    "Tanhshrink": lambda graph, x: graph.add("Sub", x, graph.add("Tanh", x)),
}
"""Activations composed of several ONNX operations."""

TAIL_BELOW = 0.02425
MIDDLE = (
    (
        -3.969683028665376e01,
        2.209460984245205e02,
        -2.759285104469687e02,
        1.383577518672690e02,
        -3.066479806614716e01,
        2.506628277459239e00,
    ),
    (
        -5.447609879822406e01,
        1.615858368580409e02,
        -1.556989798598866e02,
        6.680131188771972e01,
        -1.328068155288572e01,
        1.0,
    ),
)
TAIL = (
    (
        -7.784894002430293e-03,
        -3.223964580411365e-01,
        -2.400758277161838e00,
        -2.549732539343734e00,
        4.374664141464968e00,
        2.938163982698783e00,
    ),
    (
        7.784695709041462e-03,
        3.224671290700398e-01,
        2.445134137142996e00,
        3.754408661907416e00,
        1.0,
    ),
)
"""Numerator and denominator of the two rational functions, from the highest power."""
