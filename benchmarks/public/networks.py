"""Networks that nobody here designed: built by public packages with random weights, and logged as their users would."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import infer_signature

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Public:
    """A network of a public package with rows for it.

    Attributes
    ----------
    rows : dict of str to ndarray of shape (n_rows, ...)
        By the names of its inputs.
    call : callable
        Predicts for such rows as the network itself does: an array of shape (n_rows, n_outputs).
    log : callable
        Logs it as its users would; returns what MLflow tells of the logged model.
    config : dict
        What an audit of it has to be told.
    is_table : bool
        Whether its inputs are columns of a table.
    """

    rows: Arrays
    call: Callable[[Arrays], np.ndarray]
    log: Callable[[], Any]
    config: dict[str, Any] = field(default_factory=dict)
    is_table: bool = False


NETWORKS: dict[str, Callable[[int], Public]] = {}


def network(name: str) -> Callable[[Callable[[int], Public]], Callable[[int], Public]]:
    """Register what makes a network and so many rows for it."""

    def register(make: Callable[[int], Public]) -> Callable[[int], Public]:
        NETWORKS[name] = make
        return make

    return register


def _normal(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _codes(n_rows: int, sizes: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(2)
    return np.stack([rng.integers(0, size, n_rows) for size in sizes], axis=1).astype(np.int64)


def _torch_call(module: Any, how: Callable[[Any, dict[str, Any]], Any]) -> Callable[[Arrays], np.ndarray]:
    """Return what calls a PyTorch network in evaluation mode, without gradients."""
    import torch

    module.eval()

    def call(rows: Arrays) -> np.ndarray:
        with torch.inference_mode():
            found = how(module, {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in rows.items()})
        return found.numpy().reshape(len(found), -1)

    return call


def _logged_torch(module: Any, rows: Arrays, predicted: np.ndarray, pt2: bool = False, **more: Any) -> Any:
    import torch

    example = tuple(torch.from_numpy(array[:4].copy()) for array in rows.values())
    kind = {"serialization_format": "pt2", "input_example": example} if pt2 else {"serialization_format": "pickle"}
    signature = infer_signature(rows if len(rows) > 1 else next(iter(rows.values())), predicted)
    return mlflow.pytorch.log_model(module, name="network", signature=signature, **kind, **more)


def _torch(
    module: Any, rows: Arrays, how: Callable[[Any, dict[str, Any]], Any], pt2: bool = False, **config: Any
) -> Public:
    call = _torch_call(module, how)
    return Public(rows, call, lambda: _logged_torch(module, rows, call(rows), pt2), config)


def _positional(module: Any, tensors: dict[str, Any]) -> Any:
    return module(*tensors.values())


@network("TabTransformer")
def tab_transformer(n_rows: int) -> Public:
    """Make one of tab-transformer-pytorch."""
    import torch
    from tab_transformer_pytorch import TabTransformer

    torch.manual_seed(0)
    module = TabTransformer(
        categories=(10, 5, 6, 5, 8), num_continuous=10, dim=16, dim_out=1, depth=2, heads=4, mlp_act=torch.nn.ReLU()
    )
    rows = {"codes": _codes(n_rows, (10, 5, 6, 5, 8)), "numbers": _normal(n_rows, 10)}
    return _torch(module, rows, _positional)


def _ft_transformer() -> tuple[Any, tuple[int, ...]]:
    import torch
    from rtdl_revisiting_models import FTTransformer

    torch.manual_seed(0)
    sizes = (4, 7, 3)
    kwargs = FTTransformer.get_default_kwargs(n_blocks=1) | {"d_block": 32, "attention_n_heads": 4}
    return FTTransformer(n_cont_features=8, cat_cardinalities=[*sizes], d_out=1, **kwargs).eval(), sizes


@network("FT-Transformer")
def ft_transformer(n_rows: int) -> Public:
    """Make one of rtdl_revisiting_models."""
    module, sizes = _ft_transformer()
    return _torch(module, {"x_cont": _normal(n_rows, 8), "x_cat": _codes(n_rows, sizes)}, _positional)


@network("TabNet")
def tab_net(n_rows: int) -> Public:
    """Make one of pytorch-tabnet, which gives a pair."""
    import torch
    from pytorch_tabnet.tab_network import TabNet

    torch.manual_seed(0)
    module = TabNet(
        input_dim=9,
        output_dim=1,
        n_d=8,
        n_a=8,
        n_steps=3,
        cat_idxs=[7, 8],
        cat_dims=[4, 6],
        cat_emb_dim=[2, 2],
        group_attention_matrix=torch.eye(9),
    )
    rows = np.concatenate([_normal(n_rows, 7), _codes(n_rows, (4, 6)).astype(np.float32)], axis=1)
    return _torch(module, {"num_input": rows}, lambda model, given: model(*given.values())[0], output=0)


@network("iTransformer, pt2")
def i_transformer(n_rows: int) -> Public:
    """Make a forecaster of iTransformer, which gives a dict by horizon."""
    rows = {"num_input": _normal(n_rows, 24, 5)}
    return _torch(_i_transformer(), rows, lambda model, given: model(*given.values()), pt2=True, output=0)


def _i_transformer() -> Any:
    import torch
    from iTransformer import iTransformer

    torch.manual_seed(0)

    class Next(torch.nn.Module):
        """The forecast of the next step alone, as its users take it out of the dict."""

        def __init__(self) -> None:
            super().__init__()
            self.network = iTransformer(num_variates=5, lookback_len=24, dim=32, depth=2, heads=4, pred_length=1)

        def forward(self, series: Any) -> Any:
            return self.network(series)[:, 0]

    return Next().eval()


@network("sktime classifier")
def sktime_classifier(n_rows: int) -> Public:
    """Make one that summarises series and has a forest look at the summaries."""
    from sklearn.ensemble import RandomForestClassifier
    from sktime.classification.feature_based import SummaryClassifier

    rows = {"num_input": _normal(n_rows, 3, 20).astype(np.float64)}
    label = (rows["num_input"][:, 0].mean(axis=1) + rows["num_input"][:, 1].std(axis=1) > 1).astype(int)
    model = SummaryClassifier(estimator=RandomForestClassifier(n_estimators=20, random_state=0))
    model.fit(rows["num_input"], label)

    def call(given: Arrays) -> np.ndarray:
        return model.predict_proba(given["num_input"])

    def log() -> Any:
        signature = infer_signature(rows["num_input"], call(rows))
        return mlflow.sklearn.log_model(
            model,
            name="network",
            signature=signature,
            pyfunc_predict_fn="predict_proba",
            serialization_format="cloudpickle",
        )

    return Public(rows, call, log, {"output": 1})


@network("PatchTST")
def patch_tst(n_rows: int) -> Public:
    """Make a classifier of Hugging Face's transformers."""
    rows = {"num_input": _normal(n_rows, 24, 3)}
    return _torch(_patch_tst(), rows, lambda model, given: model(*given.values()).prediction_logits, output=1)


def _patch_tst() -> Any:
    import torch
    from transformers import PatchTSTConfig, PatchTSTForClassification

    torch.manual_seed(0)
    config = PatchTSTConfig(
        num_input_channels=3, context_length=24, patch_length=6, stride=6, num_targets=2, d_model=16, ffn_dim=32,
        num_attention_heads=4, num_hidden_layers=2,
    )  # fmt: skip
    return PatchTSTForClassification(config).eval()


def _forecaster(kind: str, n_rows: int, **settings: Any) -> Public:
    """Make a network of pytorch-forecasting from a data set of its own."""
    import pytorch_forecasting as forecasting
    import torch
    from pytorch_forecasting.data.encoders import NaNLabelEncoder

    torch.manual_seed(0)
    steps, series = 40, 4
    table = pd.DataFrame(
        {
            "series": np.repeat([str(number) for number in range(series)], steps),
            "time": np.tile(np.arange(steps), series),
            "value": _normal(series * steps, seed=3).astype(np.float64),
            "price": _normal(series * steps, seed=4).astype(np.float64),
        }
    )
    categories, known = ([], []) if kind == "NHiTS" else (["series"], ["price"])
    data = forecasting.TimeSeriesDataSet(
        table, time_idx="time", target="value", group_ids=["series"], max_encoder_length=12, max_prediction_length=3,
        static_categoricals=categories, time_varying_known_reals=known, time_varying_unknown_reals=["value"],
        categorical_encoders={"series": NaNLabelEncoder().fit(table["series"])},
        target_normalizer=forecasting.EncoderNormalizer(),
    )  # fmt: skip
    module = getattr(forecasting, kind).from_dataset(data, **settings)
    loader = data.to_dataloader(train=True, batch_size=n_rows, shuffle=True)
    batches, count = [], 0
    while count < n_rows:
        for batch, _ in loader:
            batches.append(batch)
            count += len(batch["encoder_cont"])
    names = [
        name for name, part in batches[0].items() if isinstance(part, torch.Tensor) and part.ndim and part.shape[-1]
    ]
    rows = {name: np.concatenate([batch[name].numpy() for batch in batches])[:n_rows] for name in names}
    rows = {name: array for name, array in rows.items() if name not in ("groups", "decoder_time_idx")}
    for name, array in rows.items():
        if array.dtype.kind == "f":
            rows[name] = array.astype(np.float32)

    def how(model: Any, given: dict[str, Any]) -> Any:
        return model(given)["prediction"].reshape(len(given["encoder_cont"]), -1)

    return _torch(module, rows, how, output=0)


@network("temporal fusion transformer")
def temporal_fusion(n_rows: int) -> Public:
    """Make one of pytorch-forecasting, which takes a dict."""
    return _forecaster("TemporalFusionTransformer", n_rows, hidden_size=8, attention_head_size=2, lstm_layers=1)


@network("N-HiTS")
def n_hits(n_rows: int) -> Public:
    """Make one of pytorch-forecasting."""
    return _forecaster("NHiTS", n_rows, hidden_size=16)


def _onnx(make: Callable[[], tuple[Any, Arrays]], **config: Any) -> Public:
    """Export a PyTorch network to ONNX, and take its whole session for the plain loop."""
    import onnx
    import onnxruntime
    import torch

    module, rows = make()
    module.eval()
    example = tuple(torch.from_numpy(array[:5].copy()) for array in rows.values())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.onnx")
        torch.onnx.export(
            module, example, str(path), input_names=[*rows], output_names=["found"], dynamo=True, verbose=False,
            dynamic_shapes=tuple({0: torch.export.Dim("rows")} for _ in rows),
        )  # fmt: skip
        model = onnx.load(path)
    session = onnxruntime.InferenceSession(model.SerializeToString())

    def call(given: Arrays) -> np.ndarray:
        (found,) = session.run(["found"], dict(given))
        return found.reshape(len(found), -1)

    return Public(rows, call, lambda: mlflow.onnx.log_model(model, name="network"), config)


@network("PatchTST, ONNX")
def patch_tst_onnx(n_rows: int) -> Public:
    """Make a classifier of Hugging Face's transformers, exported."""
    import torch

    class Logits(torch.nn.Module):
        """The classes' logits alone, as exports have them."""

        def __init__(self) -> None:
            super().__init__()
            self.network = _patch_tst()

        def forward(self, past_values: Any) -> Any:
            return self.network(past_values=past_values).prediction_logits

    return _onnx(lambda: (Logits(), {"past_values": _normal(n_rows, 24, 3)}), output=1)


@network("iTransformer, ONNX")
def i_transformer_onnx(n_rows: int) -> Public:
    """Make a forecaster of iTransformer, exported."""
    return _onnx(lambda: (_i_transformer(), {"series": _normal(n_rows, 24, 5)}), output=0)


def _trees(model: Any, flavour: str, n_rows: int, **more: Any) -> Public:
    rng = np.random.default_rng(3)
    table = pd.DataFrame(_normal(n_rows, 6), columns=[f"x{number}" for number in range(6)]).astype(np.float64)
    label = (table["x0"] + table["x1"] * table["x2"] + rng.normal(size=n_rows) > 0).astype(int)
    model.fit(table, label)

    def log() -> Any:
        signature = infer_signature(table, model.predict(table))
        return getattr(mlflow, flavour).log_model(model, name="network", signature=signature, **more)

    return Public(
        {name: table[name].to_numpy() for name in table},
        lambda rows: model.predict_proba(pd.DataFrame(rows)),
        log,
        {"predict": "predict_proba", "output": 1},
        is_table=True,
    )


@network("XGBoost classifier")
def xgboost_classifier(n_rows: int) -> Public:
    """Make an XGBClassifier, audited by its probabilities."""
    import xgboost

    return _trees(xgboost.XGBClassifier(n_estimators=30, max_depth=4), "xgboost", n_rows)


@network("CatBoost classifier")
def catboost_classifier(n_rows: int) -> Public:
    """Make a CatBoostClassifier, audited by its probabilities."""
    import catboost

    return _trees(
        catboost.CatBoostClassifier(iterations=30, depth=4, verbose=0, allow_writing_files=False), "catboost", n_rows
    )
