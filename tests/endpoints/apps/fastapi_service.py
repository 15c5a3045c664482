"""A FastAPI service with typed models: ``uvicorn fastapi_service:app``."""

from __future__ import annotations

from fastapi import FastAPI
from pydantic import BaseModel
from truth import mood, species

app = FastAPI(title="Scores")


class Rows(BaseModel):
    """Rows of four lengths."""

    rows: list[list[float]]


class Text(BaseModel):
    """One text."""

    text: str


@app.post("/classify")
def classify(given: Rows) -> list[list[float]]:
    return [species(row) for row in given.rows]


@app.post("/sentiment")
def sentiment(given: Text) -> dict[str, float]:
    return mood(given.text)
