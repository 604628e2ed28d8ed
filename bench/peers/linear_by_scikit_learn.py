"""The linear student as version 0.1 had it: every n-gram of every text through scikit-learn's vectorizer, and a regression of all features per C. Kept as the peer of bench/linear.py."""

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from stillhouse.student.calibration import fit_temperature, negative_log_likelihood, softmax
from stillhouse.student.linear import C_GRID, MOST_FEATURES
from stillhouse.student.ngrams import features


def _as_is(document):
    return document


class Peer:
    def __init__(self, train, validation, labels):
        vectorizer = TfidfVectorizer(
            analyzer=_as_is,
            sublinear_tf=True,
            min_df=2 if len(train) >= 1000 else 1,
            max_features=MOST_FEATURES,
            dtype=np.float32,
        )
        matrix = vectorizer.fit_transform(features(row.fields) for row in train)
        held_out = vectorizer.transform(features(row.fields) for row in validation)
        targets = [labels.index(row.label) for row in validation]
        classes, best = [labels.index(row.label) for row in train], None
        for c in C_GRID:
            regression = LogisticRegression(C=c, max_iter=300, tol=1e-3, random_state=0).fit(matrix, classes)
            logits = np.asarray(held_out @ regression.coef_.T + regression.intercept_)
            rank = (float((logits.argmax(axis=1) == targets).mean()), -negative_log_likelihood(logits, targets))
            if best is None or rank > best[0]:
                best = rank, c, regression.coef_, regression.intercept_, fit_temperature(logits, targets)
        self.labels, self.vectorizer = labels, vectorizer
        _, self.c, self.coefficients, self.intercept, self.temperature = best

    def answer(self, rows):
        matrix = self.vectorizer.transform(features(row.fields) for row in rows)
        probabilities = softmax(np.asarray(matrix @ self.coefficients.T + self.intercept), self.temperature)
        return [dict(zip(self.labels, own.tolist(), strict=True)) for own in probabilities]
