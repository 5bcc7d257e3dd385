"""A table of numbers and categories with blanks: hide some more, and see how well the model fills them.

python examples/table_with_blanks.py
"""

import numpy as np

import narrows
from narrows import corruptions, data

census = data.load("census").data.to_pandas().head(2000)
rng = np.random.default_rng(0)
column = "education-num"
known = np.flatnonzero(census[column].notna())
hidden = rng.choice(known, len(known) // 10, replace=False)
holes = census.copy()
holes[column] = holes[column].astype("float64")
holes.loc[hidden, column] = np.nan

# rows lose some of their cells in training, so that the model learns to fill them from the others
model = narrows.DenoisingAutoencoder(
    8, corruption=corruptions.Masking(0.2), training=narrows.Training(epochs=15), random_state=0
)
filled = model.fit(holes).reconstruct(holes)

truth = census.loc[hidden, column].astype(float)
error = np.abs(filled.loc[hidden, column].astype(float) - truth).mean()
median = np.abs(holes[column].median() - truth).mean()
print(f"{len(hidden)} hidden cells of {column}: mean absolute error {error:.2f}, filling in the median {median:.2f}")

unusual = census.iloc[np.argsort(model.score_samples(census))[:3]]
print("three rows that are hard to rebuild:", unusual.to_string(), sep="\n")
