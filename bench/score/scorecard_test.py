#!/usr/bin/env python3
"""The parts of the scorecard that decide: starting, choosing, judging, drawing, going on after a cut."""
import contextlib
import io
import json
import os
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.dont_write_bytecode = True

import servers  # pylint: disable=wrong-import-position  (finds bench/peers)

import journal  # pylint: disable=wrong-import-position

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
            with servers.running([sys.executable, script, str(port)], port, log) as (process, held_by):
                self.assertIsNone(held_by)
                self.assertTrue(servers.is_ready(port))
            self.assertIsNotNone(process.poll())
            with self.assertRaisesRegex(meter.Failed, "ended with 3"):
                with servers.running([sys.executable, "-c", "exit(3)"], port, log):
                    self.fail("it never answered")
            with self.assertRaises(meter.Failed):
                with servers.running(["/no/such/program"], port, log):
                    self.fail("it does not exist")

    def test_commands(self):
        with tempfile.TemporaryDirectory() as folder:
            program = os.path.join(folder, "llama-server")
            with open(program, "w", encoding="utf-8") as file:
                file.write("#!/bin/sh\necho '--cache-prompt, --no-cache-prompt  keep prompts; --no-slots'\n")
            os.chmod(program, 0o755)
            self.assertEqual(servers.supported(program, servers.SPARING), ["--no-slots"])
            engine = servers.LlamaServer(program, 2, ["-fa", "on"])
        command = engine.command("m.gguf", 80, {"slots": 8, "context": 512})
        self.assertNotIn("--no-cache-prompt", command)
        self.assertIn("--no-cache-prompt", engine.command("m.gguf", 80, {"cold": True}))
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

    def test_texts(self):
        self.assertEqual(scorecard.parse_texts("x\n10000 texts under 400 schemas: 2 outside\n")["outside"], 2)
        with self.assertRaises(meter.Failed):
            scorecard.parse_texts("no such file")

    def test_commands_are_shown_without_where_things_lie(self):
        self.assertEqual(servers.shown(["/a/b/lull", "serve", "/c/m.gguf", "--port", "1"]), "lull serve m.gguf --port 1")

    def run_with_stand_in(self, folder, *arguments):
        """(times that a stand-in for lull measured, the record) after a run of the card."""
        lull, count, record = (os.path.join(folder, name) for name in ("lull", "count", "r.jsonl"))
        with open(lull, "w", encoding="utf-8") as file:
            file.write(f"""#!/bin/sh
case "$1 $2" in
--version*) echo lull 1 ;;
"bench overhead") echo run >>{count}; echo '{{"kind":"overhead_bench","verdicts":[{{"name":"governor_overhead","measured":0.5,
"verdict":"pass"}}]}}' ;;
pack*) ;;
record*) cat >{record} ;;
*) exit 3 ;;
esac
""")
        os.chmod(lull, 0o755)
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
                code = scorecard.main(["--lull", lull, "--folder", folder, "--model", f"smollm2={lull}", "--record", record,
                                       "--command-line", "bench/scorecard x", "--svg", os.path.join(folder, "s.svg"),
                                       *arguments])
        self.assertEqual(code, 0)
        with open(count, encoding="utf-8") as counted, open(record, encoding="utf-8") as written:
            return len(counted.readlines()), json.load(written)

    def test_a_cut_run_goes_on(self):
        with tempfile.TemporaryDirectory() as folder:
            times, _ = self.run_with_stand_in(folder, "--rows", "governor")
            self.assertEqual(times, 1)
            times, record = self.run_with_stand_in(folder, "--rows", "governor")
            self.assertEqual(times, 1)  # taken up again
            self.assertEqual([t["title"] for t in record["targets"] if t["verdict"] == "met"], ["CPU time more"])
            # A round more measures one; --fresh all of the rows asked for.
            self.assertEqual(self.run_with_stand_in(folder, "--rows", "governor", "--rounds", "2")[0], 2)
            self.assertEqual(self.run_with_stand_in(folder, "--rows", "governor", "--fresh")[0], 3)

    def test_the_record_has_what_was_measured_before_and_says_what_is_missing(self):
        with tempfile.TemporaryDirectory() as folder:
            self.run_with_stand_in(folder, "--rows", "governor")
            times, record = self.run_with_stand_in(folder, "--rows", "system prompt", "--engines", "Lull")
        self.assertEqual(times, 1)
        rows = {row["name"]: row["engines"] for row in record["rows"]}
        self.assertEqual(set(rows), {"governor without a cap", "system prompt again"})
        self.assertIn("lull bench overhead", rows["governor without a cap"]["Lull"]["measured_by"]["client"])
        self.assertIn("ended with 3", rows["system prompt again"]["Lull"]["failed"])
        self.assertEqual(rows["system prompt again"][judge.PEERS[1]]["failed"], "not measured")
        self.assertEqual(record["command"], "bench/scorecard x")
        reasons = {t["row"]: t["reason"] for t in record["targets"]}
        self.assertIn("not measured", reasons["endpoint"])
        self.assertIn("ended with 3", reasons["system prompt again"])

    def test_a_missing_model_fails_its_row_alone(self):
        options = scorecard.parse(["--quick"])
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
            finished = journal.Journal(os.path.join(folder, "j"), {}, resume=True)
            runner = scorecard.Runner(options, lambda name: None, models.Models(folder, {}), finished)
            runner.measure(score_rows.ROWS[0])
            row = runner.result(score_rows.ROWS[0])
        self.assertTrue(all(engine["failed"] for engine in row["engines"].values()))


if __name__ == "__main__":
    unittest.main()
