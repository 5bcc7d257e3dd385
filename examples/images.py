"""Small pictures: squeeze them to eight numbers, rebuild them, draw new ones, and compare with PCA.

python examples/images.py
"""

import tempfile
from pathlib import Path

import narrows
from narrows import data, evaluate, plots

digits = data.load("digits")
train, test = digits.data[:1400], digits.data[1400:]

model = narrows.Autoencoder(8, training=narrows.Training(epochs=100), random_state=0).fit(train)
print(*model.reasons_, sep="\n")
print(*model.history_.diagnose(), sep="\n")
print(evaluate.compare(model, train, test).sentence())

folder = Path(tempfile.mkdtemp(prefix="narrows-images-"))
plots.loss_curve(model.history_).savefig(folder / "loss.png")
plots.reconstructions(test, model.reconstruct(test)).savefig(folder / "reconstructions.png")
plots.code_map(model.transform(test), digits.labels[1400:], name="digit").savefig(folder / "codes.png")
data.write_images(model.sample(40, random_state=0), folder / "samples.png")
print("figures:", *sorted(path.name for path in folder.iterdir()))
