"""Logistic regression on few rows with many features, fitted in the rows' own span.

Under an L2 penalty the weights of a regression are a sum of its rows. So n rows of any number of features can be
replaced by n rows of n numbers with the same inner products: the factor L of X X' = L L'. The regression of L is that
of X (Schoelkopf, Herbrich & Smola 2001, the representer theorem), and where classes are many each step of it is a dense
matrix product (bench/linear.py).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.sparse import csr_matrix

Floats = NDArray[np.float32]
MOST_ROWS = 6_000  # their inner products take 290 MB, and twice that for a moment
_DENSE_STEP = 16  # numbers of a dense product that cost as much as one of a sparse product
_RIDGE = 1e-6  # added to the inner product of a row with itself: rows that stand twice would have no factor
_COMMON = 150  # rows of a feature from which on a dense product is quicker
_COLUMNS = 4_096  # that are made dense at once


def pays(matrix: csr_matrix, n_classes: int) -> bool:
    """Whether the span is worth its price. Two classes are one column of weights: nothing is won."""
    n = matrix.shape[0]
    return n_classes > 2 and n <= MOST_ROWS and n * n < _DENSE_STEP * matrix.nnz


class Span:
    """`rows` (n, n) have the inner products of the matrix's rows; `weights` leads back to its features."""

    def __init__(self, matrix: csr_matrix) -> None:
        self._matrix = matrix
        products = _inner_products(matrix)
        products.flat[:: len(products) + 1] += _RIDGE
        self._factor = cholesky(products, lower=True, overwrite_a=True, check_finite=False)
        self.rows: Floats = np.ascontiguousarray(self._factor, dtype=np.float32)

    def weights(self, of_span: Floats) -> Floats:
        """Weights (labels, n) of `rows` as weights (labels, features)."""
        of_rows = solve_triangular(self._factor, of_span.T.astype(np.float64), lower=True, trans="T")
        return np.ascontiguousarray((self._matrix.T @ of_rows).T, dtype=np.float32)


def _inner_products(matrix: csr_matrix) -> NDArray[np.float64]:
    """X X'. A sparse product takes the square of a feature's rows, so the common features are multiplied densely.

    In double precision: rounded to single, the products of rows that stand twice are those of no rows at all.
    """
    n_rows_with = np.bincount(matrix.indices, minlength=matrix.shape[1])
    by_column = matrix.astype(np.float64).tocsc()
    rare, common = (by_column[:, np.flatnonzero(of)].tocsr() for of in (n_rows_with <= _COMMON, n_rows_with > _COMMON))
    products: NDArray[np.float64] = (rare @ rare.T).toarray()
    for start in range(0, common.shape[1], _COLUMNS):
        dense = common[:, start : start + _COLUMNS].toarray()
        products += dense @ dense.T
    return products
