"""A multilayer perceptron on the digits with Lightning, configured by Hydra, as one would write it.

python lightning_mlp.py dropout=0.2
python lightning_mlp.py -m lr=0.001,0.01 'seed=range(4)'
"""

import hydra
import lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.loggers import CSVLogger
from omegaconf import DictConfig
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset


class Classifier(pl.LightningModule):
    def __init__(self, hidden: list[int], dropout: float, lr: float) -> None:
        super().__init__()
        self.save_hyperparameters()
        layers: list[nn.Module] = []
        inputs = 64
        for units in hidden:
            layers += [nn.Linear(inputs, units), nn.ReLU(), nn.Dropout(dropout)]
            inputs = units
        self.model = nn.Sequential(*layers, nn.Linear(inputs, 10))

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        x, y = batch
        loss = cross_entropy(self.model(x), y)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        self.evaluate(batch, "val")

    def test_step(self, batch: list[Tensor], index: int) -> None:
        self.evaluate(batch, "test")

    def evaluate(self, batch: list[Tensor], part: str) -> None:
        x, y = batch
        outputs = self.model(x)
        self.log(f"{part}_loss", cross_entropy(outputs, y))
        self.log(f"{part}_accuracy", (outputs.argmax(dim=1) == y).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=self.hparams.lr)


def loaders(batch_size: int) -> list[DataLoader]:
    """To train on (70 %), to validate, to test."""
    x, y = load_digits(return_X_y=True)
    x, rest, y, y_rest = train_test_split(x, y, test_size=0.3, stratify=y, random_state=0)
    x_val, x_test, y_val, y_test = train_test_split(
        rest, y_rest, test_size=0.5, stratify=y_rest, random_state=0
    )
    mean, std = x.mean(axis=0), x.std(axis=0)
    std[std == 0] = 1
    return [
        DataLoader(
            TensorDataset(torch.tensor((xs - mean) / std).float(), torch.tensor(ys)),
            batch_size=batch_size if xs is x else len(xs),
            shuffle=xs is x,
        )
        for xs, ys in ((x, y), (x_val, y_val), (x_test, y_test))
    ]


@hydra.main(version_base="1.3", config_path=".", config_name="lightning_mlp")
def main(config: DictConfig) -> None:
    pl.seed_everything(config.seed)
    train, val, test = loaders(config.batch_size)
    folder = HydraConfig.get().runtime.output_dir
    trainer = pl.Trainer(
        max_epochs=config.epochs,
        accelerator="cpu",
        devices=1,
        logger=CSVLogger(folder),
        default_root_dir=folder,
    )
    model = Classifier(list(config.hidden), config.dropout, config.lr)
    trainer.fit(model, train, val)
    trainer.test(model, test)


if __name__ == "__main__":
    main()
