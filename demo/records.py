"""Records in a hierarchy: three models trained on handwritten digits, one run broken off, and questions to all of it.

Run it with `python demo/records.py`. The first try at the experiment is broken off by an error; what it had recorded is
kept, and the second try has the same number. Run the demonstration again, and the next experiment is number 2.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from memento import ExperimentCollection, RecordKeeper

RATES = {"slow": 1e-5, "steady": 1e-4, "hasty": 1e-1}
EPOCHS = 10


class MachineGone(RuntimeError):
    """Stands for whatever ends an experiment halfway."""


def train(model: RecordKeeper, rate: float, breaks_off: bool) -> None:
    """Train one model, recording the loss of each epoch on the training set and on the test set."""
    images, digits = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(images / 16, digits, random_state=0, stratify=digits)
    classifier = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=rate * 100, random_state=0)
    training, testing = model.sub_record_keeper(training=True), model.sub_record_keeper(training=False)
    for epoch in range(EPOCHS):
        classifier.partial_fit(train_x, train_y, classes=range(10))
        training.push(epoch=epoch, loss=log_loss(train_y, classifier.predict_proba(train_x)))
        # The same bit by bit, as where loss and accuracy come from different places of a program.
        testing.pending_record["epoch"] = epoch
        testing.pending_record["loss"] = log_loss(test_y, classifier.predict_proba(test_x))
        testing.add(accuracy=classifier.score(test_x, test_y)).commit()
        if breaks_off and epoch == 2:
            raise MachineGone("the machine is gone")


def experiment(collection: ExperimentCollection, breaks_off: bool = False) -> None:
    """Train all models in one experiment."""
    with collection.new_experiment(dataset="digits") as keeper:
        for name, rate in RATES.items():
            train(keeper.sub_record_keeper(model=name, rate=rate), rate, breaks_off)
        keeper.data["note"] = "known only at the end, and part of every record"


def main(output: Path) -> None:
    """Run it, and ask."""
    collection = ExperimentCollection(output / "digits")
    try:
        experiment(collection, breaks_off=True)
    except MachineGone as error:
        print(f"broken off: {error}")
    experiment(collection)
    for (number, error_number, had_error), some in collection.groupby(
        "experiment_number", "error_number", "had_error"
    ).items():
        print(f"experiment {number}, error {error_number}, had an error: {had_error}: {len(some)} records")
    finished = collection.where(had_error=False)
    best = finished.where(training=False).groupby("model").max("accuracy")
    for name, last in finished.where(training=False, epoch=EPOCHS - 1).groupby("model").mean("loss").items():
        print(f"{name:7} loss {last:.3f} in the last epoch, best accuracy {best[name]:.3f}")
    print(f"a record: {dict(finished[-1])}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output" / "records")
    main(parser.parse_args().output)
