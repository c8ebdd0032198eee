#!/usr/bin/env python3
"""Makes reference.json: what other implementations say of the statistics of a backtest.

    python3 -m venv venv && venv/bin/pip install scikit-learn scipy && venv/bin/python reference.py > reference.json

The AUC is scikit-learn's, and once more the Mann-Whitney U of scipy; the standard error is DeLong's, from its definition
(the kernel over all pairs), not from ranks; the chances are those of scikit-learn's logistic regression without a penalty,
fitted to four fifths for each fifth; the Brier score is scikit-learn's.
"""
import json
import random

import numpy as np
from scipy.stats import mannwhitneyu
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score


def delong(points, outcomes):
    """The standard error of the AUC, from the structural components of DeLong, DeLong and Clarke-Pearson (1988)."""
    yes, no = points[outcomes == 1], points[outcomes == 0]
    kernel = (yes[:, None] > no[None, :]).astype(float) + 0.5 * (yes[:, None] == no[None, :])
    v10, v01 = kernel.mean(axis=1), kernel.mean(axis=0)
    s10 = v10.var(ddof=1) if len(yes) > 1 else 0.0
    s01 = v01.var(ddof=1) if len(no) > 1 else 0.0
    return float(np.sqrt(s10 / len(yes) + s01 / len(no)))


def cross_fitted(points, outcomes, folds=5):
    chances = np.zeros(len(points))
    fold = np.arange(len(points)) % folds
    for one in range(folds):
        model = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10000, solver="newton-cholesky")
        scale = points[fold != one].std() or 1.0
        mean = points[fold != one].mean()
        model.fit(((points[fold != one] - mean) / scale)[:, None], outcomes[fold != one])
        chances[fold == one] = model.predict_proba(((points[fold == one] - mean) / scale)[:, None])[:, 1]
    return chances


def case(name, points, outcomes):
    points, outcomes = np.array(points, dtype=float), np.array(outcomes)
    yes, no = points[outcomes == 1], points[outcomes == 0]
    u = mannwhitneyu(yes, no, alternative="two-sided").statistic
    auc = roc_auc_score(outcomes, points)
    assert abs(auc - u / (len(yes) * len(no))) < 1e-12
    chances = cross_fitted(points, outcomes)
    # Those with equal chances share what became of them, so that no bin depends on their order.
    equal = np.round(chances, 12)
    shares = np.array([outcomes[equal == chance].mean() for chance in equal])
    order = np.argsort(equal, kind="stable")
    bins = [
        {"cases": len(part), "expected": float(chances[part].mean()), "observed": float(shares[part].mean())}
        for part in (order[i * len(order) // 10:(i + 1) * len(order) // 10] for i in range(10))
        if len(part)
    ]
    return {
        "name": name,
        "points": [int(p) for p in points],
        "outcomes": [int(o) for o in outcomes],
        "auc": float(auc),
        "standard_error": delong(points, outcomes),
        "brier": float(brier_score_loss(outcomes, chances)),
        "bins": bins,
    }


def main():
    draw = random.Random(20240101)
    cases = []
    for name, count, spread, signal in [
        ("many ties", 500, 4, 0.6),
        ("few ties", 300, 1000, 0.002),
        ("no signal", 400, 30, 0.0),
        ("negative and rare", 600, 20, -0.15),
        ("small", 40, 10, 0.3),
    ]:
        points = [draw.randint(-spread // 2, spread) for _ in range(count)]
        base = -2.5 if "rare" in name else -0.7
        outcomes = [int(draw.random() < 1 / (1 + np.exp(-(base + signal * p)))) for p in points]
        cases.append(case(name, points, outcomes))
    print("[" + ",\n".join(json.dumps(one) for one in cases) + "]")


main()
