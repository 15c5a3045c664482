from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from probe.demo.assets import PHOTOGRAPHS, csv_text, write_assets
from probe.demo.models import breast_cancer, credit, digits
from probe.inputs import read_image, read_rows


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("assets")
    written = write_assets(directory)
    assert sorted(written) == sorted(path for path in directory.rglob("*") if path.is_file())
    return directory


def test_photographs_are_the_ones_known(directory: Path) -> None:
    shapes = [read_image(directory / name).shape for name in PHOTOGRAPHS]
    assert shapes == [(400, 600, 3), (512, 512), (300, 451, 3)]


@pytest.mark.parametrize("name", ["credit", "breast-cancer"])
def test_tables_come_back_as_rows_the_model_takes(directory: Path, name: str) -> None:
    model = credit.Credit() if name == "credit" else breast_cancer.BreastCancer.train()
    row, background = read_rows(directory / f"{name}.csv"), read_rows(directory / f"{name}-background.csv")
    assert (len(row), len(background)) == (1, 25)
    assert row[0] not in background
    scores = model.predict([*row, *background])
    assert 0.1 < scores[0, 0] < 0.9
    assert scores[1:, 0].std() > 0.1


def test_breast_cancer_rows_lose_no_digit(directory: Path) -> None:
    row, background = breast_cancer.demo_rows()
    assert read_rows(directory / "breast-cancer.csv") == [row]
    assert read_rows(directory / "breast-cancer-background.csv") == background


def test_applicants_hold_both_groups(directory: Path) -> None:
    rows = read_rows(directory / "credit-applicants.csv")
    assert len(rows) == 200
    assert {row["protected_group"] for row in rows} == {"a", "b"}


def test_digits_are_the_marked_ones(directory: Path) -> None:
    images = [read_image(path) for path in sorted((directory / "digits").iterdir())]
    assert np.array_equal(np.array(images), digits.marked_digits(6).images)


def test_writing_again_gives_the_same_bytes(directory: Path, tmp_path: Path) -> None:
    for path in write_assets(tmp_path / "new" / "place"):
        assert path.read_bytes() == (directory / path.relative_to(tmp_path / "new" / "place")).read_bytes()


def test_csv_quotes_what_needs_it() -> None:
    assert csv_text([{"a": "x,y", "b": 1}]) == 'a,b\n"x,y",1\n'
