"""A multilayer perceptron on the digits with scikit-learn, as one would write it: it knows no
dropout, and no validation curve without early stopping."""

import csv
from pathlib import Path

import joblib
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

x, y = load_digits(return_X_y=True)
x, x_test, y, y_test = train_test_split(x, y, test_size=0.3, stratify=y, random_state=0)
classifier = MLPClassifier((256, 128), batch_size=32, max_iter=20, random_state=0)
model = make_pipeline(StandardScaler(), classifier).fit(x, y)
print(f"test accuracy {model.score(x_test, y_test):.4f}")
joblib.dump(model, "model.joblib")
with Path("metrics.csv").open("w", newline="") as file:
    csv.writer(file).writerows(enumerate(classifier.loss_curve_, 1))
