"""bench/serving compares medians with the best rival, replaces its own part of a document only, sends fresh words."""

import contextlib
import io
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench", "serving"))
import http_load  # noqa: E402
import report  # noqa: E402


class Report(unittest.TestCase):
    def test_takes_the_best_rival_of_each_row(self):
        samples = {"mlxd": [210.0, 200.0, 190.0], "q4_0": [100.0, 100.0, 100.0], "q4_1": [50.0, 50.0, 50.0]}
        text = report.table([("decode", "tokens/s", True, samples), ("load", "s", False, samples)], "mlxd")
        decode, load = text.splitlines()[2:]
        self.assertEqual(decode, "| decode (tokens/s) | 200 ±5 % | 100 ±0 % | q4_0 | 2.00× |")
        self.assertIn("| q4_1 | 4.00× |", load)

    def test_prints_our_figures_without_a_rival(self):
        self.assertIn("| 3.00 ±0 % | – |", report.table([("load", "s", False, {"mlxd": [3.0]})], "mlxd"))

    def test_starts_a_document(self):
        text = report.replace_section("", "figures")
        self.assertTrue(text.startswith("# Benchmarks\n"))
        self.assertIn("figures", text)

    def test_replaces_its_own_section_and_nothing_else(self):
        text = report.replace_section("# Benchmarks\n\nbefore\n", "first") + "\nafter\n"
        again = report.replace_section(text, "second")
        self.assertIn("before", again)
        self.assertIn("after", again)
        self.assertIn("second", again)
        self.assertNotIn("first", again)
        self.assertEqual(report.replace_section(again, "second"), again)

    def test_keeps_the_sections_of_others(self):
        text = report.replace_section(report.replace_section("", "of rivals"), "of serving", "serving")
        again = report.replace_section(report.replace_section(text, "rivals again"), "serving again", "serving")
        marked = "\n\n<!-- serving: written by script/bench serving -->\nserving again\n<!-- serving: end -->\n"
        self.assertIn(marked, again)
        self.assertIn("rivals again", again)
        self.assertNotIn("of rivals", again)
        self.assertNotIn("of serving", again)
        self.assertEqual(report.replace_section(again, "serving again", "serving"), again)
        self.assertEqual(report.replace_section(again, "rivals again"), again)


class Samples(unittest.TestCase):
    def setUp(self):
        self.samples = report.Samples("mlxd")
        with contextlib.redirect_stderr(io.StringIO()):
            for value in (1.0, 3.0, 2.0):
                self.samples.add("m", "gap", "ms", False, "mlxd", value)
            self.samples.add("m", "gap", "ms", False, "other", 4.0)
            self.samples.add("m", "gap", "times", False, "mlxd", 7.0)

    def test_rows_of_one_name_and_two_units_are_two(self):
        lines = self.samples.table_of("m").splitlines()[2:]
        self.assertEqual(lines, ["| gap (ms) | 2.00 ±50 % | 4.00 ±0 % | other | 0.50× |",
                                 "| gap (times) | 7.00 ±0 % | – | – | – |"])
        self.assertEqual(len(self.samples.as_json()), 2)

    def test_has_the_median_of_a_row_if_it_was_measured(self):
        self.assertEqual(self.samples.median("m", "gap", "ms", "mlxd"), 2.0)
        self.assertIsNone(self.samples.median("m", "gap", "ms", "nobody"))
        self.assertIsNone(self.samples.median("m", "nothing", "ms", "mlxd"))


class FreshWords(unittest.TestCase):
    def test_are_the_same_for_the_same_seeds_only(self):
        words = http_load.fresh_words(40, "shared", 1)
        self.assertEqual(words, http_load.fresh_words(40, "shared", 1))
        self.assertEqual(len(words.split()), 40)
        self.assertNotEqual(words, http_load.fresh_words(40, "shared", 2))
        self.assertNotEqual(words, http_load.fresh_words(40, "cold", 1))


class Streams(unittest.TestCase):
    def test_count_what_was_computed_of_a_prompt_if_the_server_tells(self):
        stream = http_load.Stream("http://127.0.0.1:1", "m", "hello", 1, [0])
        for usage, computed in ((None, 0), ({"prompt_tokens": 9}, 9),
                                ({"prompt_tokens": 9, "prompt_tokens_details": None}, 9),
                                ({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 5}}, 4)):
            stream.usage = usage
            self.assertEqual(stream.prefilled_tokens(), computed)


if __name__ == "__main__":
    unittest.main()
