"""The paper's Tables II and III in small: every ablation with one budget, on rendered faces.

    python benchmarks/ablations.py --data runs/mini/train --out runs/ablations

Rendered edit sets (``python -m magicface_training.data.render``) are halved to 64 pixels and one
autoencoder is fitted. Every variant is then trained from random weights with the settings of
``ablations.yaml`` and what its file in ``training/configs/ablations`` says of model and objective,
and edits test identities, whose exact answers are known. Finished variants are kept and an
interrupted one goes on, so the command can be repeated; the last time it only prints the table.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from halved_edit_sets import halve
from magicface_training.autoencoder import main as fit_autoencoder
from magicface_training.comparison import config_hash
from magicface_training.config import SHIPPED, TrainConfig, parse_config
from magicface_training.evaluation.editor import CheckpointEditor
from magicface_training.evaluation.exact.au_regressor import load_regressor
from magicface_training.evaluation.exact.measure import Case, measure_case
from magicface_training.evaluation.exact.pooling import People
from magicface_training.evaluation.exact.protocol import synthetic_cases
from magicface_training.evaluation.exact.readings import Reader
from magicface_training.evaluation.exact.report import estimate
from magicface_training.evaluation.exact.sweep import RESAMPLES, curve_point, sweep_jobs
from magicface_training.evaluation.provenance import machine, versions
from magicface_training.evaluation.tables import Cell, Table
from magicface_training.synthetic import HeadModel
from magicface_training.train import train

from magicface_core.files import write_file
from magicface_core.framing.framing import Framing
from magicface_core.network.checkpoint import load_checkpoint
from magicface_core.perception import Perception

logger = logging.getLogger(__name__)
BASE = Path(__file__).with_suffix(".yaml")
TRAIN_IDENTITIES, TEST_IDENTITIES = 300, 8
REMEMBERED = 10_000  # readings: every answer is read once for all variants
UNTRAINED_DENOISER = "not run: a frozen denoiser must be trained, and here nothing is"
UNTRAINED_ENCODER = "not run: a frozen image encoder must be trained, and none is at hand"


@dataclass(frozen=True)
class Variant:
    """A row of the table.

    table      of the paper
    row        as the paper names it
    config     in ``training/configs/ablations``, empty for the paper's model
    guidances  at which it is measured
    missing    why it is not run, empty where it is
    """

    table: str
    row: str
    config: str = ""
    guidances: tuple[float, ...] = (1.0,)
    missing: str = ""

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.config or "magicface"


VARIANTS = (
    Variant("", "MagicFace", guidances=(1.0, 2.0)),
    Variant("II", "ControlNet", "controlnet-frozen", missing=UNTRAINED_DENOISER),
    Variant("II", "Cont. All", "controlnet-trained"),
    Variant("II", "ConvID", "identity-convolution"),
    Variant("II", "CLIP-ID", "identity-image-encoder", missing=UNTRAINED_ENCODER),
    Variant("III", "MLP + Conv", "au-convolution"),
    Variant("III", "Zero Append", "au-zero-append"),
    Variant("IV", "no AU dropout", "no-au-dropout"),
    Variant("", "controller of 4 x 4 convolutions", "attribute-convolution"),
)
COLUMNS = {
    "ratio": "changed-pixel error",
    "au_error": "AU MSE",
    "response": "response",
    "identity": "identity distance",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="edit sets of 128 pixels")
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--train-identities", type=int, default=TRAIN_IDENTITIES)
    parser.add_argument("--test-identities", type=int, default=TEST_IDENTITIES)
    parser.add_argument("--steps", type=int, help="of every variant (default: ablations.yaml's)")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    torch.set_num_threads(1)
    prepare(args.data, args.out, args.train_identities)
    ruler = Ruler(range(args.test_identities))
    results = {}
    for variant in VARIANTS:
        if not variant.missing:
            results[variant.name] = result_of(variant, args.out, args.steps, ruler)
            print(table(results).markdown(), file=sys.stderr)
    print(table(results).markdown())
    facts = {"machine": machine("cpu"), "versions": versions(), "results": results}
    print(json.dumps(facts))
    return 0


def prepare(data: Path, out: Path, identities: int) -> None:
    """Halved edit sets and an autoencoder in the run's folder, where they are missing."""
    halve(data, out / "train", identities)
    if not (out / "autoencoder" / "config.json").is_file():
        options = {"data": out / "train", "out": out / "autoencoder", "steps": 0, "width": 0}
        fit_autoencoder([f"--{name}={value}" for name, value in options.items()])


def settings_of(variant: Variant, out: Path, steps: int | None) -> TrainConfig:
    """The base's settings with the variant's own of model and objective."""
    tree = yaml.safe_load(BASE.read_text(encoding="utf-8"))
    if variant.config:
        path = SHIPPED / "ablations" / f"{variant.config}.yaml"
        own = yaml.safe_load(path.read_text(encoding="utf-8"))
        for section in ("model", "objective"):
            tree[section] |= own.get(section, {})
    tree["model"]["autoencoder"] = str(out / "autoencoder")
    tree["data"]["train"] = str(out / "train")
    tree["run"]["output"] = str(out / variant.name)
    tree["info"]["name"] = variant.name
    if steps is not None:
        tree["optim"]["steps"] = steps
    return parse_config(tree)


def result_of(variant: Variant, out: Path, steps: int | None, ruler: Ruler) -> dict[str, Any]:
    """Scores of a variant: kept ones of the same settings, or trained and measured now."""
    config = settings_of(variant, out, steps)
    asked = {
        "config_sha256": config_hash(config),
        "seeds": list(ruler.seeds),
        "guidances": list(variant.guidances),
    }
    path = out / variant.name / "result.json"
    if path.is_file():
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if asked.items() <= kept.items():
            return kept
    logger.info("%s: %s", variant.name, variant.row)
    started = time.process_time()
    folder = Path(config.run.output) / "checkpoint"
    if not folder.is_dir():
        folder = train(config, resume=True)
    if not (folder / "magicface.json").is_file():
        raise KeyboardInterrupt
    seconds = time.process_time() - started
    result = {**asked, "steps": config.optim.steps, "training_cpu_seconds": round(seconds)}
    result |= ruler.measure(folder, variant.guidances)
    write_file(path, json.dumps(result, indent=1) + "\n")
    return result


class Ruler:
    """Test identities with exact answers, rendered once, and what measures edits of them."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self.seeds = seeds
        self._reader: Reader | None = None
        self._cases: list[Case] = []

    def measure(self, folder: Path, guidances: Sequence[float]) -> dict[str, Any]:
        """Trained parameters, and scores by guidance, of a checkpoint."""
        checkpoint = load_checkpoint(folder, "cpu", torch.float32)
        reader = self._prepared(Framing.of(checkpoint.info))
        scores = {}
        for guidance in guidances:
            editor = CheckpointEditor(checkpoint, guidance=guidance)
            rows = [
                record
                for case in self._cases
                for record in measure_case(editor, case, reader).records
            ]
            scores[f"{guidance:g}"] = curve_point(rows, People(rows, resamples=RESAMPLES, seed=0))
        parts = (checkpoint.denoiser, checkpoint.id_encoder, checkpoint.controller)
        parameters = sum(p.numel() for part in parts if part is not None for p in part.parameters())
        return {"parameters": parameters, "scores": scores}

    def _prepared(self, framing: Framing) -> Reader:
        if self._reader is None:
            perception = Perception.load(models=())
            self._reader = Reader(perception, load_regressor(), REMEMBERED)
            tools = {"framing": framing, "perception": perception, "head_model": HeadModel.load()}
            self._cases = list(synthetic_cases(self.seeds, sweep_jobs(), **tools))  # type: ignore[arg-type]
        return self._reader


def table(results: dict[str, dict[str, Any]]) -> Table:
    """All variants, those that were not run with the reason."""
    rows = [row for variant in VARIANTS for row in rows_of(variant, results.get(variant.name))]
    head = ["variant", "paper's table", *COLUMNS.values(), "parameters, million"]
    return Table("Ablations in small", head, rows)


def rows_of(variant: Variant, result: dict[str, Any] | None) -> list[list[Cell]]:
    """One row for each guidance."""
    empty: list[Cell] = [""] * len(COLUMNS)
    if result is None:
        reason = variant.missing or "not yet"
        return [[variant.row, variant.table, reason, *empty]]
    rows: list[list[Cell]] = []
    for guidance, scores in result["scores"].items():
        name = variant.row if guidance == "1" else f"{variant.row}, guidance {guidance}"
        values = [estimate(scores[column]) for column in COLUMNS]
        rows.append([name, variant.table, *values, f"{result['parameters'] / 1e6:.2f}"])
    return rows


if __name__ == "__main__":
    raise SystemExit(main())
