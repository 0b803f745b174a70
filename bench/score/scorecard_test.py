#!/usr/bin/env python3
"""The parts of the scorecard that decide: starting, choosing, judging, drawing, going on after a cut."""
import json
import os
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.dont_write_bytecode = True

import servers  # pylint: disable=wrong-import-position  (finds bench/peers)

import drawing  # pylint: disable=wrong-import-position
import judge  # pylint: disable=wrong-import-position
import meter  # pylint: disable=wrong-import-position
import models  # pylint: disable=wrong-import-position
import rows as score_rows  # pylint: disable=wrong-import-position
import scorecard  # pylint: disable=wrong-import-position

HEALTHY_SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *unused): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def budget_run(p95=1.0, cpu_s=0.3, used=0.97, endpoint=(), verdicts=()):
    window = {"p99": {"value": 0.36}}
    return {"kind": "budget_bench", "cpu": {"mean": 0.35, "used": used, "idle": 0.0, "seconds_per_request": cpu_s,
                                            "windows_100ms": window, "windows_20ms": window, "others": 0.01},
            "latency_s": {q: {"value": p95} for q in ("p50", "p95", "p99")}, "peak_pss_bytes": 150e6,
            "load": {"not_endpoint": list(endpoint)}, "verdicts": list(verdicts), "machine": {"cpu_model": "x", "cpus": 2}}


def a_row(name="endpoint", verb="budget", quick=False, **runs):
    names = {"lull": "Lull", "one": judge.PEERS[0], "two": judge.PEERS[1]}
    return {"name": name, "verb": verb, "quick": quick, "engines": {names[n]: {"runs": r} for n, r in runs.items()}}


def target(title, row="endpoint"):
    return next(t for t in judge.TARGETS if t.title == title and t.row == row)


class JudgeTest(unittest.TestCase):
    def verdict(self, title, row):
        return judge.judge(target(title, row["name"]), {row["name"]: row})

    def test_limits(self):
        row = a_row(lull=[budget_run()])
        self.assertEqual(self.verdict("CPU mean", row)["verdict"], "met")
        self.assertEqual(self.verdict("CPU p99 of 100 ms windows", row)["verdict"], "met")
        self.assertEqual(self.verdict("allowed CPU used while work waits", row)["verdict"], "met")
        self.assertEqual(self.verdict("allowed CPU used while work waits", a_row(lull=[budget_run(used=0.9)]))["verdict"],
                         "missed")

    def test_against_the_best_peer(self):
        row = a_row(lull=[budget_run(p95=1.0)], one=[budget_run(p95=2.5)], two=[budget_run(p95=2.1)])
        result = self.verdict("latency p95", row)
        self.assertEqual((result["verdict"], result["peer"]), ("met", 2.1))
        self.assertAlmostEqual(result["ratio"], 1 / 2.1)
        row["engines"][judge.PEERS[1]]["runs"] = [budget_run(p95=1.9)]
        self.assertEqual(self.verdict("latency p95", row)["verdict"], "missed")

    def test_without_a_peer_a_relation_is_unproven(self):
        self.assertEqual(self.verdict("latency p95", a_row(lull=[budget_run()]))["verdict"], "unproven")

    def test_a_peer_that_failed_leaves_a_relation_unproven(self):
        row = a_row(lull=[budget_run()], one=[budget_run(p95=9)])
        row["engines"][judge.PEERS[1]] = {"runs": [], "failed": "died"}
        self.assertEqual(self.verdict("latency p95", row)["verdict"], "unproven")
        self.assertEqual(self.verdict("CPU mean", row)["verdict"], "met")

    def test_doubts(self):
        shorter = a_row(lull=[budget_run(endpoint=["shorter than 120 s"])])
        self.assertIn("shorter", self.verdict("CPU mean", shorter)["reason"])
        steal = a_row(lull=[budget_run(verdicts=[{"name": "cpu_mean", "verdict": "unproven", "reason": "steal 9 %"}])])
        self.assertEqual(self.verdict("CPU mean", steal)["verdict"], "unproven")
        self.assertEqual(self.verdict("CPU mean", a_row(quick=True, lull=[budget_run()]))["verdict"], "unproven")
        disturbed = a_row(lull=[budget_run()])
        disturbed["engines"]["Lull"]["disturbed"] = True
        self.assertEqual(self.verdict("CPU mean", disturbed)["verdict"], "unproven")
        self.assertEqual(judge.judge(target("CPU mean"), {})["reason"], "not measured; Lull's figure is missing")

    def test_the_median_of_the_rounds_counts(self):
        row = a_row(lull=[budget_run(p95=1), budget_run(p95=5), budget_run(p95=2)])
        self.assertEqual(judge.figure_of(target("latency p95"), row, "Lull"), 2)

    def test_levels_that_prove_nothing_do_not_count(self):
        level = {"workers": 10, "proven": False, "requests_per_s": 30, "latency_s": {"p95": {"value": 1}}}
        row = a_row("clients", "stress", lull=[{"levels": [level]}], two=[{"levels": [level | {"proven": True}]}])
        self.assertEqual(self.verdict("requests/s at 10 workers", row)["verdict"], "unproven")
        level["proven"], row["engines"][judge.PEERS[1]]["runs"][0]["levels"][0]["requests_per_s"] = True, 5
        self.assertEqual(self.verdict("requests/s at 10 workers", row)["verdict"], "met")

    def test_every_target_has_its_row(self):
        names = {row.name for row in score_rows.ROWS}
        self.assertLessEqual({t.row for t in judge.TARGETS}, names)


class DrawingTest(unittest.TestCase):
    def setUp(self):
        self.rows = {"endpoint": a_row(lull=[budget_run()], one=[budget_run(p95=2.5)], two=[budget_run(p95=2.1)])}
        self.results = judge.judge_all(self.rows)

    def test_table_and_drawing(self):
        table = drawing.table(self.results, "r.jsonl")
        self.assertIn("| endpoint: latency p95 | 1.00 s | 2.10 s (0.48x) | ≤ 0.5x of llama-server's best | met |", table)
        self.assertIn("unproven; from", table)
        svg = drawing.svg(self.rows, "a <machine>")
        xml.etree.ElementTree.fromstring(svg)
        self.assertIn("llama-server, 2 threads", svg)

    def test_the_readme_changes_between_the_marks_alone(self):
        text = f"a\n{drawing.BEGIN}\nold\n{drawing.END}\nb\n"
        self.assertEqual(drawing.replace_table(text, "new"), f"a\n{drawing.BEGIN}\nnew\n{drawing.END}\nb\n")
        self.assertEqual(drawing.replace_table("no marks", "new"), "no marks")


class ServersTest(unittest.TestCase):
    def test_a_server_is_started_and_stopped(self):
        with tempfile.TemporaryDirectory() as folder:
            script, log, port = os.path.join(folder, "s.py"), os.path.join(folder, "log"), servers.free_port()
            with open(script, "w", encoding="utf-8") as file:
                file.write(HEALTHY_SERVER)
            with servers.running([sys.executable, script, str(port)], port, log) as process:
                self.assertTrue(servers.is_ready(port))
            self.assertIsNotNone(process.poll())
            with self.assertRaisesRegex(meter.Failed, "ended with 3"):
                with servers.running([sys.executable, "-c", "exit(3)"], port, log):
                    self.fail("it never answered")
            with self.assertRaises(meter.Failed):
                with servers.running(["/no/such/program"], port, log):
                    self.fail("it does not exist")

    def test_commands(self):
        engine = servers.LlamaServer("llama-server", 2, ["-fa", "on"])
        command = engine.command("m.gguf", 80, {"slots": 8, "context": 512})
        self.assertEqual(command[command.index("-tb") + 1], "2")
        self.assertEqual(command[command.index("-c") + 1], "4096")
        self.assertGreater(engine.cpus({"quota": 0.35}), 0.3)
        self.assertEqual(engine.cpus({}), 0)
        self.assertIn("35%", servers.Lull("lull").command("m", 1, score_rows.ROWS[0].setting))


class RunnerTest(unittest.TestCase):
    def test_a_verdict_is_no_failure_and_an_error_is(self):
        for code in scorecard.VERDICT_CODES:
            self.assertEqual(scorecard.run_verb(["sh", "-c", f"echo '{{}}'; exit {code}"]), {})
        for script in ("exit 3", "echo no json", "echo '{}'; exit 2"):
            with self.assertRaises(meter.Failed):
                scorecard.run_verb(["sh", "-c", script])

    def test_masks(self):
        record = scorecard.parse_masks("m.gguf: 9 tokens\nperson       compiled in   1.2 ms  | first mean   12.5 p50  9.1 p99 "
                                       "30.0 most 40.0 us  | again mean 1.0 p50 1\ntree compiled | first mean 3.5 p50 1.0\n")
        self.assertEqual(record["slowest_mean_us"], 12.5)
        self.assertEqual(len(record["mean_us"]), 2)
        with self.assertRaises(meter.Failed):
            scorecard.parse_masks("nothing")

    def test_others_at_work(self):
        run = budget_run()
        self.assertFalse(scorecard.is_disturbed(run))
        run["cpu"]["others"] = 0.2
        self.assertTrue(scorecard.is_disturbed(run))
        self.assertFalse(scorecard.is_disturbed({"kind": "stress_bench"}))

    def test_rows_are_chosen_by_name(self):
        self.assertEqual([row.name for row in scorecard.chosen(["8 sessions"])], ["8 sessions"])
        self.assertEqual([row.name for row in scorecard.chosen(["endpoint"])], ["endpoint"])
        self.assertEqual([row.name for row in scorecard.chosen(["clients"])], ["clients"])
        self.assertEqual(len(scorecard.chosen(["endpoi"])), 2)
        self.assertEqual(len(scorecard.chosen([])), len(score_rows.ROWS))

    def test_a_cut_run_goes_on(self):
        """A stand-in for lull that counts how often it is run; the second run measures nothing again."""
        with tempfile.TemporaryDirectory() as folder:
            lull, count, record = (os.path.join(folder, name) for name in ("lull", "count", "r.jsonl"))
            with open(lull, "w", encoding="utf-8") as file:
                file.write(f"""#!/bin/sh
case "$1" in
--version) echo lull 1 ;;
bench) echo run >>{count}; echo '{{"kind":"overhead_bench","verdicts":[{{"name":"governor_overhead","measured":0.5,
"verdict":"pass"}}]}}' ;;
record) cat >{record} ;;
esac
""")
            os.chmod(lull, 0o755)
            arguments = ["--lull", lull, "--folder", folder, "--model", f"smollm2={lull}", "--rows", "governor",
                         "--record", record, "--svg", os.path.join(folder, "s.svg")]
            for _ in range(2):
                with open(os.devnull, "w", encoding="utf-8") as nowhere:
                    stdout, sys.stdout = sys.stdout, nowhere
                    stderr, sys.stderr = sys.stderr, nowhere
                    try:
                        self.assertEqual(scorecard.main(arguments), 0)
                    finally:
                        sys.stdout, sys.stderr = stdout, stderr
            with open(count, encoding="utf-8") as file:
                self.assertEqual(len(file.readlines()), 1)
            with open(record, encoding="utf-8") as file:
                written = json.load(file)
            met = [t["title"] for t in written["targets"] if t["verdict"] == "met"]
            self.assertEqual(met, ["CPU time more"])

    def test_a_missing_model_fails_its_row_alone(self):
        options = scorecard.parse(["--quick"])
        with tempfile.TemporaryDirectory() as folder:
            runner = scorecard.Runner(options, {}, models.Models(folder, {}))
            row = runner.measure(score_rows.ROWS[0])
        self.assertTrue(all(engine["failed"] for engine in row["engines"].values()))


if __name__ == "__main__":
    unittest.main()
