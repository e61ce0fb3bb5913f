"""bench/serving/report.py compares medians with the best rival and replaces only its own part of a document."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench", "serving"))
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


if __name__ == "__main__":
    unittest.main()
