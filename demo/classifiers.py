"""Which classifier suits which data set? Five of scikit-learn's, on four data sets that come with it, cross-validated.

Run it with `make demo`. Everything it makes lies in demo/output: the store, the table as CSV, the plot. Run it again,
or interrupt it with Ctrl-C and run it again: what is finished is never computed twice.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from memento import Config, Context, Memento, Results

MATRIX = {
    "parameters": {
        "classifier": [
            LogisticRegression,
            SVC,
            KNeighborsClassifier,
            RandomForestClassifier,
            GradientBoostingClassifier,
        ],
        "dataset": ["iris", "wine", "breast_cancer", "digits"],
    },
    "settings": {"folds": 5},
    # Ten classes make a thousand boosted trees: a minute that this demonstration spares you.
    "exclude": [{"classifier": GradientBoostingClassifier, "dataset": "digits"}],
    "replicates": 3,
}


def cross_validate(context: Context, config: Config) -> dict[str, float]:
    """The experiment: one classifier on one data set, split and initialised by the configuration's own seed."""
    features, labels = getattr(datasets, f"load_{config.dataset}")(return_X_y=True)
    classifier = config.classifier()
    if "random_state" in classifier.get_params():
        classifier.set_params(random_state=context.seed)
    pipeline = make_pipeline(StandardScaler(), classifier)

    folds = StratifiedKFold(config.settings["folds"], shuffle=True, random_state=context.seed)
    accuracies = []
    for fold, (train, test) in enumerate(folds.split(features, labels)):
        pipeline.fit(features[train], labels[train])
        accuracies.append(pipeline.score(features[test], labels[test]))
        context.record({"fold_accuracy": (fold, accuracies[-1])})
        context.progress(1, total=folds.get_n_splits())
    return {"accuracy": float(np.mean(accuracies)), "worst_fold": float(np.min(accuracies))}


def run(store: Path) -> Results:
    """Run the matrix, and say how many results came from where and how long that took."""
    begun = time.perf_counter()
    results = Memento(cross_validate).run(MATRIX, cache_path=str(store))
    stored = sum(result.was_cached for result in results)
    print(f"{len(results) - stored} computed, {stored} from the store, in {time.perf_counter() - begun:.3g} s\n")
    return results


def draw(table: pd.DataFrame, path: Path) -> None:
    """Save a bar for each classifier and data set: the mean over its replicates, and their standard deviation."""
    import matplotlib

    matplotlib.use("Agg")
    axes = table.pivot(index="dataset", columns="classifier", values="mean").plot.bar(
        yerr=table.pivot(index="dataset", columns="classifier", values="std"), capsize=2, figsize=(9, 4.5), rot=0
    )
    axes.set(ylim=(0.85, 1.0), ylabel="accuracy, 5-fold", title="mean and standard deviation over 3 replicates")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3, fontsize="small")
    axes.figure.savefig(path, dpi=120, bbox_inches="tight")


def main(output: Path) -> None:
    """Run everything twice, and print what came out."""
    output.mkdir(parents=True, exist_ok=True)
    experiments = "5 classifiers × 4 data sets × 3 replicates, less the excluded"
    print(f"First run: {experiments}")
    results = run(output / "store")

    print("Second run: the same matrix again")
    results = run(output / "store")

    table = results.aggregate("accuracy")
    table["classifier"] = table["classifier"].str.rpartition(".")[2]
    print("Accuracy, mean over the replicates:")
    print(table.pivot(index="classifier", columns="dataset", values="mean").round(3).to_string(na_rep="–"))
    best = results.best("accuracy")
    print(f"\nBest single result: {best.inner['accuracy']:.3f} for {best.config}")

    draw(table, output / "classifiers.png")
    results.to_csv(output / "classifiers.csv")
    print(f"The plot is in {output / 'classifiers.png'}, every number in {output / 'classifiers.csv'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output", help="where to put everything")
    main(parser.parse_args().output)
