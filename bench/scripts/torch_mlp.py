"""A multilayer perceptron on the digits with PyTorch, as one would write it: DataLoaders, dropout,
a validation each epoch, TensorBoard."""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.tensorboard import SummaryWriter

torch.manual_seed(0)
x, y = load_digits(return_X_y=True)
x, rest, y, y_rest = train_test_split(x, y, test_size=0.3, stratify=y, random_state=0)
x_val, x_test, y_val, y_test = train_test_split(
    rest, y_rest, test_size=0.5, stratify=y_rest, random_state=0
)
mean, std = x.mean(axis=0), x.std(axis=0)
std[std == 0] = 1
train, val, test = (
    TensorDataset(torch.tensor((xs - mean) / std).float(), torch.tensor(ys))
    for xs, ys in ((x, y), (x_val, y_val), (x_test, y_test))
)
model = nn.Sequential(
    *(nn.Linear(64, 256), nn.ReLU(), nn.Dropout(0.2)),
    *(nn.Linear(256, 128), nn.ReLU(), nn.Dropout(0.2)),
    nn.Linear(128, 10),
)
optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
objective = nn.CrossEntropyLoss()
batches = DataLoader(train, batch_size=32, shuffle=True)


def evaluate(part: TensorDataset) -> tuple[float, float]:
    """Loss and accuracy."""
    model.eval()
    with torch.no_grad():
        xs, ys = part.tensors
        outputs = model(xs)
        correct = (outputs.argmax(dim=1) == ys).float().mean()
        return objective(outputs, ys).item(), correct.item()


with SummaryWriter("events") as writer:
    for epoch in range(20):
        model.train()
        total = 0.0
        for xb, yb in batches:
            optimizer.zero_grad()
            loss = objective(model(xb), yb)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(xb)
        val_loss, val_accuracy = evaluate(val)
        writer.add_scalar("loss/train", total / len(train), epoch)
        writer.add_scalar("loss/validation", val_loss, epoch)
        writer.add_scalar("accuracy/validation", val_accuracy, epoch)
        print(f"epoch {epoch + 1}: loss {val_loss:.4f}, accuracy {val_accuracy:.4f}")
torch.save(model.state_dict(), "model.pt")
print(f"test accuracy {evaluate(test)[1]:.4f}")
