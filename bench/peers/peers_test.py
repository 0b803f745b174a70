#!/usr/bin/env python3
"""The parts of the comparison that decide: discarding, choosing, disqualifying, judging, drawing."""
import dataclasses
import os
import struct
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.dont_write_bytecode = True

import engines  # pylint: disable=wrong-import-position
import journal
import logits
import meter
import models
import race
import report


def a_round(foreign, steal=0.0, tag=None):
    return {"foreign_share": foreign, "steal_share": steal, "tag": tag}


def a_row(goals=(), wrong=False, **engine_medians):
    names = {"lull": "Lull", "llama": "llama.cpp", "openvino": "OpenVINO"}
    return {"name": "row", "kind": "speed", "phases": ["prefill", "decode"], "goals": list(goals), "rounds": 5, "quiet": True,
            "engines": {names[n]: {"median": m, "perplexity": 30.0 if wrong and n == "openvino" else 18.5,
                                   "wrong": wrong and n == "openvino"} for n, m in engine_medians.items()}}


def saved_logits(positions, context, vocab):
    """A --save-all-logits file of one chunk; positions: lists of uint16 steps of 0.5 above -20."""
    data = b"_logits_" + struct.pack("<Iii", context, vocab, 1) + struct.pack(f"<{context}i", *range(context))
    for steps in positions:
        data += struct.pack("<ff", .5, -20.0) + struct.pack(f"<{vocab}H", *steps) + b"\0\0" * (vocab % 2)
    return data


class LogitsTest(unittest.TestCase):
    def test_reads_what_was_saved(self):
        reference = logits.parse_saved(saved_logits([[1, 40, 3], [20, 2, 30], [1, 2, 3]], 8, 3), top=2)
        self.assertEqual(reference.chunks, [list(range(8))])
        self.assertEqual(reference.tops, [[{1: 0.0, 2: -18.5}, {2: -5.0, 0: -10.0}, {2: -18.5, 1: -19.0}]])

    def test_a_cut_file_is_an_error(self):
        data = saved_logits([[1, 2, 3]] * 3, 8, 3)
        for size in (0, 7, 19, len(data) - 1):
            with self.assertRaises(logits.Malformed):
                logits.parse_saved(data[:size])

    def test_cosine(self):
        position = {1: -1.0, 2: -2.0, 3: -4.0}
        self.assertAlmostEqual(logits.cosine(position, {1: -2.0, 2: -3.0, 3: -5.0, 9: 0.0}), 1.0)
        self.assertLess(logits.cosine(position, {1: -4.0, 2: -2.0, 3: -1.0}), 0)
        self.assertEqual(logits.cosine(position, {1: -1.0, 2: -2.0}), 0.0)

    def test_the_ledger_refuses_other_logits(self):
        position = {1: -1.0, 2: -2.0, 3: -4.0}
        reference = logits.Reference([[0] * 8], [[position]])
        ledger = race.Ledger("text", lambda row, path, text: reference)
        judge = ledger.judge(dataclasses.replace(race.ROWS[0], isa=None), "model", True)

        def score(tops):
            return engines.Score(None, lambda text, reference: [[tops]])

        self.assertTrue(judge("right", score(position)))
        self.assertFalse(judge("wrong", score({1: -4.0, 2: -2.0, 3: -1.0})))
        self.assertTrue(judge("cannot tell", engines.Score(None)))
        self.assertEqual(set(ledger.cosines("model", None)), {"right", "wrong"})


class MeterTest(unittest.TestCase):
    def test_proc_stat(self):
        busy, steal, total = meter.parse_proc_stat("cpu  100 20 30 400 50 6 7 80 9 9")
        hz = meter.TICKS_PER_S
        self.assertEqual((busy * hz, steal * hz, total * hz), (163, 80, 693))

    def test_own_cpu_is_not_foreign(self):
        stat, own = iter([(0, 0, 0), (10, 1, 100)]), iter([5, 12])
        alive = iter([3, 4])
        machine = meter.MachineMeter(lambda: next(alive), lambda: next(stat), lambda: next(own))
        self.assertEqual(machine.shares(), {"foreign_share": 0.02, "steal_share": 0.01})

    def test_noisy_rounds_are_repeated(self):
        results = iter([a_round(.01, tag=1), a_round(.5), a_round(0, .03), a_round(.02, .02, tag=2)])
        kept, discarded, quiet = meter.collect_rounds(lambda: next(results), 2, .02, 9)
        self.assertEqual([r["tag"] for r in kept], [1, 2])
        self.assertEqual((len(discarded), quiet), (2, True))

    def test_least_noisy_rounds_fill_up(self):
        results = iter([a_round(.9, tag="a"), a_round(.01, tag="b"), a_round(.1, tag="c"), a_round(.3, tag="d")])
        kept, discarded, quiet = meter.collect_rounds(lambda: next(results), 2, .02, 4)
        self.assertEqual([r["tag"] for r in kept], ["b", "c"])
        self.assertEqual([r["tag"] for r in discarded], ["d", "a"])
        self.assertFalse(quiet)

    def test_children(self):
        child = meter.run_child([sys.executable, "-c", "print(sum(range(3000000)))"])
        self.assertEqual(child.stdout.strip(), "4499998500000")
        self.assertGreater(child.cpu_s, 0)
        for code, what in (("import sys; sys.exit('no file')", "ended with 1: no file"),
                           ("import os; os.kill(os.getpid(), 4)", "died of SIGILL")):
            with self.assertRaisesRegex(meter.Failed, what):
                meter.run_child([sys.executable, "-c", code])
        with self.assertRaisesRegex(meter.Failed, "longer than"):
            meter.run_child([sys.executable, "-c", "import time; time.sleep(30)"], timeout_s=0.2)
        with self.assertRaisesRegex(meter.Failed, "No such file"):
            meter.run_child(["/nowhere/program"])

    def test_peak_is_the_childs_own(self):
        ballast = b"x" * 100_000_000  # the parent's memory must not count
        wait = "import time; time.sleep(0.2)"
        small = meter.run_for_peak([sys.executable, "-c", wait]).peak_rss_bytes
        large = meter.run_for_peak([sys.executable, "-c", f"x = b'x' * 50_000_000; {wait}"]).peak_rss_bytes
        again = meter.run_for_peak([sys.executable, "-c", wait]).peak_rss_bytes
        self.assertGreater(small, 1_000_000)
        self.assertLess(small, len(ballast))
        self.assertGreater(large, small + 40_000_000)
        self.assertLess(again, large)


class EnginesTest(unittest.TestCase):
    def test_parsing(self):
        self.assertEqual(engines.parse_llama_bench([{"n_prompt": 512, "n_gen": 0, "avg_ts": 7.0},
                                                    {"n_prompt": 0, "n_gen": 128, "avg_ts": 3.0}]),
                         {"prefill_tok_s": 7.0, "decode_tok_s": 3.0})
        self.assertEqual(engines.parse_llama_perplexity("x\nFinal estimate: PPL = 18.5570 +/- 0.3\n"), 18.557)
        with self.assertRaisesRegex(meter.Failed, "no estimate: out of memory"):
            engines.parse_llama_perplexity("out of memory\n")

    def test_the_fastest_correct_variants_are_chosen(self):
        rates = {"a": {"decode_tok_s": 1.0}, "b": {"decode_tok_s": 3.0}, "c": {"decode_tok_s": 2.0}, "d": {}}
        asked = []

        def is_correct(variant):
            asked.append(variant)
            return variant != "b"

        self.assertEqual(engines.choose(engines.ranked(rates, "decode"), is_correct, 1), ["c"])
        self.assertEqual(asked, ["b", "c"])  # "a" is not asked: perplexity takes time

    def test_loading_drops_out_of_cpu_seconds(self):
        self.assertAlmostEqual(engines.cpu_by_difference(lambda rounds: 9.0 + 0.5 * rounds, 500), 1.0)
        self.assertEqual(engines.cpu_by_difference(lambda rounds: 9.0 - rounds, 500), float("inf"))

    def test_avx2_rows_use_their_own_build(self):
        llama = engines.LlamaCpp({"native": "n"}, {"avx2": "a"})
        self.assertEqual({b for b, _ in llama.variants(race.Row("m"))}, {"native"})
        self.assertEqual({b for b, _ in llama.variants(race.Row("m", isa="avx2"))}, {"avx2"})
        self.assertEqual(len(llama.variants(race.Row("m"))), 4)


class ReportTest(unittest.TestCase):
    def test_wrong(self):
        self.assertFalse(report.is_wrong(18.6, [18.5, 18.6, None], 1.01))
        self.assertTrue(report.is_wrong(18.7, [18.5, 18.7], 1.01))
        self.assertTrue(report.is_wrong(float("nan"), [18.5, float("nan")], 1.01))
        self.assertFalse(report.is_wrong(None, [18.5], 1.01))

    def test_medians_are_of_figures_alone(self):
        self.assertEqual(report.medians([{"a": 1, "v": {}}, {"a": 5, "b": 1}, {"a": 2}]), {"a": 2, "b": 1})
        self.assertEqual(report.medians([]), {})

    def test_ratios_and_verdicts(self):
        row = a_row(lull={"prefill_tok_s": 90.0, "int_peak_share": .44}, llama={"prefill_tok_s": 10.0})
        self.assertEqual(report.judge(row, race.prefill(9))["verdict"], "met")
        self.assertEqual(report.judge(row, race.prefill(9.1))["verdict"], "missed")
        self.assertEqual(report.judge(row, race.prefill(.45, "peak"))["verdict"], "missed")
        self.assertEqual(report.judge(row, race.prefill(4, "OpenVINO"))["verdict"], "not measured")
        either = race.decode(2, either=race.prefill(.4, "peak"))
        self.assertEqual(report.judge(row, either)["verdict"], "met")
        self.assertEqual(report.judge(row, race.goal("prefill_tok_s", 8, "llama.cpp", "most"))["verdict"], "missed")

    def test_a_skipped_row_says_why(self):
        row = {"name": "r", "kind": "speed", "phases": ["prefill"], "skipped": "needs 9 GB of disk", "goals": []}
        judged = report.judge(row, race.prefill(9))
        self.assertEqual((judged["verdict"], judged["note"]), ("not measured", "needs 9 GB of disk"))

    def test_a_wrong_peer_does_not_count(self):
        figures = {"lull": {"decode_tok_s": 8.0}, "llama": {"decode_tok_s": 2.0}, "openvino": {"decode_tok_s": 4.0}}
        self.assertEqual(report.speed_ratios([a_row(**figures)]), [("row", "decode", 2.0)])
        self.assertEqual(report.speed_ratios([a_row(wrong=True, **figures)]), [("row", "decode", 4.0)])
        judged = report.judge(a_row(wrong=True, **figures), race.decode(1, "OpenVINO"))
        self.assertIn("disqualified", judged["note"])

    def test_a_wrong_lull_does_not_count(self):
        row = a_row(lull={"decode_tok_s": 8.0}, llama={"decode_tok_s": 2.0})
        row["engines"]["Lull"]["wrong"] = True
        self.assertEqual(report.speed_ratios([row]), [])

    def test_the_option_is_shown_and_not_judged(self):
        row = a_row(lull={"prefill_tok_s": 8.0}, llama={"prefill_tok_s": 2.0})
        row["engines"]["Lull q8_k"] = {"median": {"prefill_tok_s": 12.0}}
        judged = report.judge(row, race.prefill(5))
        self.assertEqual((judged["verdict"], judged["value"], judged["q8_k_value"]), ("missed", 4.0, 6.0))
        self.assertEqual(report.speed_ratios([row]), [("row", "prefill", 4.0)])
        self.assertEqual(report.speed_ratios([row], report.option_where_it_applies), [("row", "prefill", 6.0)])
        row["goals"] = [judged]
        self.assertIn("(q8_k: 6.00x)", "\n".join(report.row_lines(row)))

    def test_geometric_mean(self):
        self.assertAlmostEqual(report.geometric_mean([1.0, 4.0]), 2.0)
        self.assertIsNone(report.geometric_mean([]))

    def record(self):
        row = a_row(wrong=True, lull={"prefill_tok_s": 90.0, "decode_tok_s": 8.0}, openvino={"decode_tok_s": 4.0},
                    llama={"prefill_tok_s": 10.0, "decode_tok_s": 2.0})
        row["goals"] = [report.judge(row, race.prefill(9.5))]
        noisy = a_row(lull={"decode_tok_s": 1.0}, llama={}) | {"quiet": False, "noisy_rounds": 3}
        noisy["engines"]["llama.cpp"] = {"unsupported": "died of SIGILL"}
        skipped = {"name": "large", "kind": "speed", "phases": ["decode"], "skipped": "no disk", "goals": []}
        return {"rows": [row, noisy, skipped], "machine": {"description": "A <CPU> & more"}, "noise_limit": .02}

    def test_table(self):
        text = report.table(self.record())
        for part in ("WRONG: disqualified", "missed", "died of SIGILL", "skipped: no disk", "only 2 of 5 rounds",
                     "Geometric mean over 2 figures", "6.00x", "0 met, 1 missed"):
            self.assertIn(part, text)

    def test_svg_is_valid_and_labels_every_engine(self):
        drawing = report.svg(self.record())
        xml.etree.ElementTree.fromstring(drawing)
        for part in (">prefill<", ">decode<", ">OpenVINO<", "90  9.00x llama.cpp", "4.0  wrong answers"):
            self.assertIn(part, drawing)
        self.assertNotIn("large", drawing)


class JournalTest(unittest.TestCase):
    def test_rows_of_the_same_conditions_are_taken_up(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "rows.jsonl")
            first = journal.Journal(path, {"lull": "a"}, resume=False)
            first.add({"name": "one", "value": 1})
            first.add({"name": "two", "value": 2})
            with open(path, "a", encoding="utf-8") as file:
                file.write('{"conditions": {"lull": "a"}, "ro')  # cut off
            again = journal.Journal(path, {"lull": "a"}, resume=True)
            self.assertEqual(again.find("two"), {"name": "two", "value": 2})
            self.assertIsNone(again.find("three"))
            again.add({"name": "three", "value": 3})
            self.assertEqual(journal.Journal(path, {"lull": "a"}, resume=True).find("three")["value"], 3)
            self.assertIsNone(journal.Journal(path, {"lull": "b"}, resume=True).find("one"))
            self.assertIsNone(journal.Journal(path, {"lull": "a"}, resume=False).find("one"))
            self.assertIsNone(journal.Journal(path, {"lull": "a"}, resume=True).find("one"))


class RowsTest(unittest.TestCase):
    def test_names_are_unique_and_models_known(self):
        names = [row.name for row in race.ROWS]
        self.assertEqual(len(names), len(set(names)))
        known = {"smollm2", "gemma3-270m", *models.REQUANTIZED, *models.SHAPES}
        self.assertLessEqual({row.model for row in race.ROWS}, known)

    def test_selection(self):
        self.assertEqual(len(race.selected(None)), len(race.ROWS))
        self.assertEqual([r.name for r in race.selected(["smollm2, 1 *"])], ["smollm2, 1 thread"])
        self.assertEqual(race.selected(["nothing like it"]), [])
        self.assertEqual([r.name for r in race.selected(["smollm2, 2 threads"])], ["smollm2, 2 threads"])
        self.assertGreater(len(race.selected(["smollm2, 2"])), 3)

    def test_quick_rows_keep_their_names_and_goals(self):
        for row in race.ROWS:
            short = race.quick(row)
            self.assertEqual((short.name, short.goals), (row.name, row.goals))
            self.assertLessEqual(short.prompt, 64)


if __name__ == "__main__":
    unittest.main()
