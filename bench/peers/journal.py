"""Finished rows on disk as they come: a run that was cut off loses only the row it was in.

One JSON line a row, with what it was measured under; only rows of the same programs, lengths and rounds are taken up again.
"""
import json


class Journal:
    def __init__(self, path, conditions, resume):
        """conditions: a JSON object; rows of others are not taken up. Without resume the file begins anew."""
        self._path, self._conditions = path, json.loads(json.dumps(conditions))
        self._rows = self._read() if resume else {}
        if not resume:
            open(path, "w", encoding="utf-8").close()

    def find(self, name):
        """The row as it was written, or None."""
        return self._rows.get(name)

    def add(self, row):
        with open(self._path, "a", encoding="utf-8") as file:
            # A line of its own, also after one that was cut off.
            file.write("\n" + json.dumps({"conditions": self._conditions, "row": row}) + "\n")
        self._rows[row["name"]] = row

    def _read(self):
        rows = {}
        try:
            with open(self._path, encoding="utf-8") as file:
                for line in file:
                    entry = self._parse(line)
                    if entry and entry.get("conditions") == self._conditions:
                        rows[entry["row"]["name"]] = entry["row"]
        except FileNotFoundError:
            pass
        return rows

    @staticmethod
    def _parse(line):
        """The entry of a line, or None of one that was cut off."""
        try:
            return json.loads(line)
        except ValueError:
            return None
