"""The table: what we measured, what it is measured against, the goal, and whether it is met."""

import json
import statistics


def median(values):
    return statistics.median(values) if values else 0


def spread(values):
    return f" [{min(values):.2f}–{max(values):.2f}]" if values and len(values) > 1 else ""


def shown(value):
    if isinstance(value, str):
        return value
    if abs(value) >= 100000:
        return f"{value / 1000:.0f}k"
    if abs(value) >= 1000:
        return f"{value / 1000:.1f}k"
    return f"{value:.3g}"


class Report:
    def __init__(self):
        self.rows = []
        self.cells = {}
        self.notes = []

    def cell(self, name, values, **more):
        self.cells[name] = {"values": values, "median": median(values), **more}

    def row(self, name, ours, baseline_name=None, baseline=None, at_least=None, at_most=None, unit=""):
        """Goal on the ratio ours / baseline, or on `ours` itself when there is no baseline. Both may be lists, one
        value a round: then the ratio is the median of the rounds' ratios, each taken under the same conditions."""
        ours = ours if isinstance(ours, list) else [ours]
        baseline = baseline if isinstance(baseline, list) or baseline is None else [baseline] * len(ours)
        ratios = [one / other for one, other in zip(ours, baseline)] if baseline else None
        judged = median(ratios or ours)
        verdict = ""
        if at_least is not None:
            verdict = "PASS" if judged >= at_least else "MISS"
        if at_most is not None:
            verdict = "PASS" if judged <= at_most else "MISS"
        goal = f"≥ {at_least:g}" if at_least is not None else f"≤ {at_most:g}" if at_most is not None else ""
        if baseline and goal:
            goal += " ×"
        self.rows.append({"name": name, "ours": median(ours), "unit": unit, "baseline_name": baseline_name,
                          "baseline": median(baseline) if baseline else None, "ratio": median(ratios) if ratios else None,
                          "ratios": ratios, "goal": goal, "verdict": verdict})
        print(self.line(self.rows[-1]), flush=True)

    def note(self, text):
        self.notes.append(text)
        print("    " + text, flush=True)

    @staticmethod
    def line(row):
        ours = shown(row["ours"]) + (" " + row["unit"] if row["unit"] else "")
        baseline = f"{row['baseline_name']} {shown(row['baseline'])}" if row["baseline"] else ""
        ratio = f"{row['ratio']:.2f} ×{spread(row['ratios'])}" if row["ratio"] is not None else ""
        return f"{row['name']:<58} {ours:>9}   {baseline:<34} {ratio:<22} {row['goal']:<8} {row['verdict']}"

    def header(self):
        print(f"{'':<58} {'ours':>9}   {'baseline':<34} {'ratio [of each round]':<22} goal", flush=True)

    def table(self):
        lines = ["| what | ours | baseline | ratio | goal | |", "|---|---|---|---|---|---|"]
        for row in self.rows:
            ours = shown(row["ours"]) + (" " + row["unit"] if row["unit"] else "")
            baseline = f"{row['baseline_name']}: {shown(row['baseline'])}" if row["baseline"] else ""
            ratio = f"{row['ratio']:.2f} ×{spread(row['ratios'])}" if row["ratio"] is not None else ""
            lines.append(f"| {row['name']} | {ours} | {baseline} | {ratio} | {row['goal']} | {row['verdict']} |")
        return "\n".join(lines) + "\n"

    def write(self, directory, about):
        directory.mkdir(parents=True, exist_ok=True)
        with open(directory / "results.json", "w") as file:
            json.dump({"about": about, "rows": self.rows, "cells": self.cells, "notes": self.notes}, file, indent=1)
        (directory / "results.md").write_text(self.table())

    def summary(self):
        missed = [row["name"].strip() for row in self.rows if row["verdict"] == "MISS"]
        print(f"\n{len(self.rows)} figures, {len(missed)} missed" + (": " + "; ".join(missed) if missed else ""))
