"""Choose the parameters of parts by cross-validation, through their nested names.

python examples/grid_search.py
"""

from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import narrows
from narrows import bottlenecks, data, penalties

digits = data.load("digits")
X, labels = digits.data[:800], digits.labels[:800]

model = narrows.Autoencoder(
    bottleneck=bottlenecks.Plain(activation="sigmoid"),
    penalties=penalties.Penalties(sparsity=penalties.Sparsity(target=0.1)),
    training=narrows.Training(epochs=5),
    random_state=0,
)
grid = {"bottleneck__size": [4, 16], "penalties__sparsity__weight": [0.0, 5.0]}
search = GridSearchCV(model, grid, cv=2).fit(X)
for params, score in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"]):
    print(f"{score:8.1f} nats per row  {params}")
print("best:", search.best_params_)

# the codes as features for something with labels, judged on digits that neither has seen
classifier = make_pipeline(search.best_estimator_, LogisticRegression(max_iter=500)).fit(X, labels)
right = classifier.score(digits.data[800:], digits.labels[800:])
print(f"digits told apart from {search.best_params_['bottleneck__size']} numbers: {right:.2f}")
