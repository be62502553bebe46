"""Label Studio's exports: JSON (tasks with data, and annotations with results), JSON-MIN and CSV (a row an annotation).

A result names the tags of a labeling configuration. Which fields of the data they show is in that configuration
(``--label-config``); without it, the names of the fields tell: prompt, answer1 and answer2, response, and so on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from plaudit.feedback.formats._annotations import SCALE, Annotation
from plaudit.feedback.formats._dialogues import texts
from plaudit.feedback.formats._format import Format
from plaudit.feedback.formats._labeling import TaskData, flat_results
from plaudit.feedback.formats._record import Fields, Omissions, Record, Setting
from plaudit.feedback.formats._tasks import annotation_of, data_of

FLAT = ("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement", "history")
RENAMED = "_data_"  # before a CSV export's column of data that has a control's name


class LabelStudio(Format):
    """One task a question, one annotation a judgement."""

    name = "label-studio"
    title = "Label Studio"
    suffixes = (".json", ".csv")
    kinds = ("comparison", "rating", "spans", "correction", "critique", "demonstration", "thumbs", "ranking")
    array = True
    lossy: ClassVar[Mapping[str, str]] = {
        "id, meta, predictions, project, file_upload, ...": "not kept; id is written as a number from 1",
        "JSON-MIN, CSV": "read; JSON is written",
        "was_cancelled": "cancelled annotations are left out",
        "result[].type": "pairwise, number, choices, rating, ranker, labels and textarea are read; others are counted",
        "to_name": "a tag of the labeling configuration (--label-config), or what the names of the fields tell",
        "rating": "the ends of a scale are not in the file: read as 0 to 10, and null is not written",
        "labels": "categories are those that occur in the task",
        "spans[].note": "not written",
        "completed_by": "read; written as meta.annotator of each result, because Label Studio refuses unknown accounts",
        "rankings": "ties are left out, because a Ranker has none; ratings, flags and the ideal answer are not written",
        "times": "created_at and lead_time; when the first input came is not in the file",
        "model": "not written",
    }

    def sniff(self, first: Mapping[str, Any]) -> bool:
        """A task, or a row of JSON-MIN or CSV."""
        return {"data", "annotations"} <= set(first) or {"annotation_id", "annotator", "lead_time"} <= set(first)

    def read(self, row: Fields, setting: Setting) -> Iterator[Record]:
        """The records of each annotation; those about the same thing are the same question."""
        if "annotation_id" in row.value and "annotations" not in row.value:
            fields, rows = _split_row(row, setting)
        else:
            fields, rows = row.object("data"), row.objects("annotations")
        data = TaskData(fields, setting.labeling)
        annotations = [annotation for annotation in rows if not annotation.get("was_cancelled", False)]
        results = [result for annotation in annotations for result in annotation.objects("result", ())]
        categories = {
            label
            for result in results
            if result.text("type") == "labels"
            for label in result.object("value").texts("labels", ())
        }
        scales = {
            name: setting.labeling.scales.get(name, SCALE)
            for name in (result.text("from_name") for result in results if result.text("type") in ("rating", "number"))
        }
        for annotation in annotations:
            yield from Annotation(data, annotation, setting).records(sorted(categories), scales)

    def write(self, records: Iterable[Record], left: Omissions) -> Iterator[dict[str, Any]]:
        """One task a question."""
        number = 0
        for record in records:
            items = texts(record, left)
            if items is None or record.question is None:
                continue
            data = data_of(items, record.question.kind)
            if data is None:
                left.add("their items are not two responses to one prompt", len(record.judgements))
                continue
            judgements = [judgement for judgement in record.judgements if not _is_tied(judgement.value)]
            left.add("their rankings have ties, which a Ranker has not", len(record.judgements) - len(judgements))
            if not judgements:
                continue
            number += 1
            annotations = [
                {"id": index, **annotation_of(record.question, judgement, items)}
                for index, judgement in enumerate(judgements, 1)
            ]
            yield {"id": number, "data": data, "annotations": annotations}


def _is_tied(value: Mapping[str, Any]) -> bool:
    ranks = value.get("ranks", ())
    return len(set(ranks)) < len(ranks)


def _split_row(row: Fields, setting: Setting) -> tuple[Fields, list[Fields]]:
    """The data of an object of JSON-MIN or CSV, and its one annotation."""
    columns = {name: value for name, value in row.value.items() if name not in FLAT and value is not None}
    results = list(flat_results(Fields(columns, "", row.trace), TaskData(Fields(columns), setting.labeling)))
    controls = {result["from_name"] for result in results}
    data = {name.removeprefix(RENAMED): value for name, value in columns.items() if name not in controls}
    annotation = {
        "completed_by": row.get("annotator", None),
        "created_at": row.get("created_at", None),
        "lead_time": row.get("lead_time", None),
        "result": results,
    }
    return Fields(data, "", row.trace), [Fields(annotation, "annotation", row.trace)]


FORMAT = LabelStudio()
